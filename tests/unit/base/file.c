// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/secret.h"

static char folder[64];

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/belfry-file-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    static const char *const names[] = {"a", "a.tmp", "b", "x/y/z", "x/y", "x"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)remove(path);
    }
    (void)rmdir(folder);
}

TestSuite(file, .init = make_folder, .fini = remove_folder);

static const char *in_folder(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

Test(file, what_is_written_is_read_and_has_its_mode)
{
    struct fault f;
    struct slice text;
    struct stat about;
    (void)umask(077);
    cr_assert(file_write(in_folder("a"), SLICE("one\0two"), 0640, &f));
    cr_assert_eq(stat(in_folder("a"), &about), 0);
    cr_assert_eq(about.st_mode & 0777, 0640);
    cr_assert(file_read(&text, in_folder("a"), 7, &f));
    cr_assert(slice_eq(text, SLICE("one\0two")));
    cr_assert_eq(text.ptr[text.len], '\0');
    mem_slice_free(&text);
    cr_assert_neq(access(in_folder("a.tmp"), F_OK), 0);
}

Test(file, a_file_over_the_limit_is_refused_by_one_byte)
{
    struct fault f;
    struct slice text = {NULL, 0};
    char large[10000] = "";
    cr_assert(file_write(in_folder("a"), slice_from(large, sizeof large), 0600, &f));
    cr_assert_not(file_read(&text, in_folder("a"), sizeof large - 1, &f));
    cr_assert_eq(f.code, FAULT_LIMIT);
    cr_assert_null(text.ptr);
    cr_assert(file_read(&text, in_folder("a"), sizeof large, &f));
    cr_assert_eq(text.len, sizeof large);
    mem_slice_free(&text);
}

Test(file, a_file_that_says_it_is_empty_is_read_all_the_same)
{
    struct fault f;
    struct slice text;
    cr_assert(file_read(&text, "/proc/self/status", 1u << 16, &f));
    cr_assert_gt(text.len, 100);
    mem_slice_free(&text);
}

#define MANY 20 /* more than are open at once */

/* As paths in the folder: "00" and so on. */
static void name_many(char paths[MANY][128], struct file_text files[MANY], const char *text)
{
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s/%02d", folder, i);
        files[i] = (struct file_text){paths[i], slice_of(text)};
    }
}

static void expect_text(const char *path, const char *text)
{
    struct fault f;
    struct slice found;
    cr_assert(file_read(&found, path, 100, &f), "%s", f.text);
    cr_expect(slice_eq(found, slice_of(text)), "%s", path);
    mem_slice_free(&found);
}

Test(file, many_are_written_together_or_none_is)
{
    char paths[MANY][128], beside[136];
    struct file_text files[MANY];
    struct fault f;
    name_many(paths, files, "old");
    cr_assert(file_write_all(files, MANY, 0600, &f), "%s", f.text);
    name_many(paths, files, "new");
    (void)snprintf(beside, sizeof beside, "%s.tmp", paths[MANY - 1]);
    cr_assert_eq(mkdir(beside, 0700), 0); // so the last can't be written
    cr_expect_not(file_write_all(files, MANY, 0600, &f));
    for (int i = 0; i < MANY; i++)
        expect_text(paths[i], "old");
    cr_assert_eq(rmdir(beside), 0);
    cr_assert(file_write_all(files, MANY, 0600, &f), "%s", f.text);
    for (int i = 0; i < MANY; i++) {
        expect_text(paths[i], "new");
        (void)snprintf(beside, sizeof beside, "%s.tmp", paths[i]);
        cr_expect_neq(access(beside, F_OK), 0, "%s", beside);
        (void)unlink(paths[i]);
    }
    cr_assert(file_write_all(NULL, 0, 0600, &f));
}

Test(file, a_write_that_fails_leaves_the_old_one)
{
    struct fault f;
    struct slice text;
    cr_assert(file_write(in_folder("a"), SLICE("old"), 0600, &f));
    // A folder in the place of the temporary file: it can be neither removed nor opened.
    cr_assert_eq(mkdir(in_folder("a.tmp"), 0700), 0);
    cr_assert_not(file_write(in_folder("a"), SLICE("new"), 0600, &f));
    cr_assert(file_read(&text, in_folder("a"), 10, &f));
    cr_assert(slice_eq(text, SLICE("old")));
    mem_slice_free(&text);
}

Test(file, what_is_new_takes_no_ones_place)
{
    struct slice text;
    struct fault f = {0};
    struct stat about;
    const char *path = in_folder("a");
    cr_assert(file_write_new(path, SLICE("a key"), 0600, &f), "%s", f.text);
    cr_assert_not(file_write_new(path, SLICE("another"), 0600, &f));
    cr_expect_eq(f.code, FAULT_CONFIG);
    cr_assert(stat(path, &about) == 0 && (about.st_mode & 0777) == 0600);
    cr_assert(file_read(&text, path, 100, &f), "%s", f.text);
    cr_expect(slice_eq(text, SLICE("a key")));
    mem_slice_free(&text);
}

/* As a full disk would: the file system's own word comes on, and half a key is not left behind. */
Test(file, a_new_file_that_can_not_be_written_says_why_and_is_gone)
{
    struct fault f = {0};
    const char *path = in_folder("b");
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){4, 4}), 0);
    cr_assert_not(file_write_new(path, SLICE("a key"), 0600, &f));
    cr_expect(strstr(f.text, strerror(EFBIG)), "%s", f.text);
    cr_expect_eq(access(path, F_OK), -1);
}

Test(file, a_reader_that_has_the_old_file_keeps_it_whole)
{
    struct fault f;
    char bytes[8] = "";
    cr_assert(file_write(in_folder("a"), SLICE("old"), 0600, &f));
    FILE *old = fopen(in_folder("a"), "r");
    cr_assert(file_write(in_folder("a"), SLICE("newer"), 0600, &f));
    cr_assert_eq(fread(bytes, 1, sizeof bytes, old), 3);
    cr_assert_str_eq(bytes, "old");
    (void)fclose(old);
}

Test(file, a_link_laid_in_the_way_is_not_written_through)
{
    struct fault f;
    struct slice text;
    char victim[128];
    (void)snprintf(victim, sizeof victim, "%s", in_folder("b"));
    cr_assert(file_write(victim, SLICE("kept"), 0600, &f));
    cr_assert_eq(symlink(victim, in_folder("a.tmp")), 0);
    cr_assert(file_write(in_folder("a"), SLICE("new"), 0600, &f));
    cr_assert(file_read(&text, victim, 10, &f));
    cr_assert(slice_eq(text, SLICE("kept")));
    mem_slice_free(&text);
}

Test(file, a_secret_that_others_can_reach_is_refused)
{
    static const struct {
        mode_t mode;
        bool is_fine;
    } modes[] = {{0600, true},  {0400, true},  {0640, true},  {0440, true},  {0644, false},
                 {0604, false}, {0660, false}, {0602, false}, {0610, false}, {0601, false}};
    struct fault f;
    cr_assert(file_write(in_folder("a"), SLICE("key"), 0600, &f));
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct secret s = {0};
        cr_assert_eq(chmod(in_folder("a"), modes[i].mode), 0);
        cr_assert_eq(file_read_secret(&s, in_folder("a"), 100, &f), modes[i].is_fine, "mode %o",
                     modes[i].mode);
        if (modes[i].is_fine)
            cr_assert(s.len == 3 && secret_eq(s.bytes, "key", 4));
        else
            cr_assert_eq(f.code, FAULT_TRUST);
        secret_fini(&s);
    }
}

Test(file, folders_are_made_with_their_parents_and_may_be_there)
{
    struct fault f;
    struct stat about;
    cr_assert(dir_make(in_folder("x/y/z"), 0700, &f));
    cr_assert(dir_make(in_folder("x/y/z"), 0700, &f));
    cr_assert(dir_make(in_folder("x//y/z/"), 0700, &f));
    cr_assert_eq(stat(in_folder("x/y/z"), &about), 0);
    cr_assert(S_ISDIR(about.st_mode));
    cr_assert(file_write(in_folder("a"), SLICE(""), 0600, &f));
    cr_assert_not(dir_make(in_folder("a"), 0700, &f));
    cr_assert_not(dir_make(in_folder("a/b"), 0700, &f));
    cr_assert_not(dir_make("", 0700, &f));
}
