// SPDX-License-Identifier: EUPL-1.2
/* Which files of state_dir stay. */
#include "auth/status_files.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define HEX "00112233445566778899aabbccddeeff"
#define UNLIMITED ((struct status_room){UINT64_MAX, UINT64_MAX})

static char folder[64], path[256];

static void begin(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/belfry-files-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void end(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(status_files, .init = begin, .fini = end);

static const char *at(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void make(const char *name, size_t bytes, time_t written)
{
    char *content = mem_array(char, bytes + 1);
    struct fault fault;
    const struct timespec times[2] = {{.tv_sec = written}, {.tv_sec = written}};
    cr_assert(file_write(at(name), slice_from(content, bytes), 0600, &fault));
    cr_assert_eq(utimensat(AT_FDCWD, at(name), times, 0), 0);
    mem_free(content);
}

static bool is_there(const char *name)
{
    return access(at(name), F_OK) == 0;
}

Test(status_files, of_authorities_that_are_gone_go_and_no_others)
{
    static const char *const stay[] = {"a.b." HEX, "loading.x." HEX, "c.d." HEX,
                                       "README",   "a.gone",         "a.b." HEX ".old"};
    static const char *const go[] = {"a.gone." HEX,
                                     "gone.b." HEX,
                                     "a.bb." HEX,
                                     "loading-too.x." HEX,
                                     "c.d.ffffffffffffffffffffffffffffffff",
                                     "a.b." HEX ".tmp"};
    struct status_keep keep = {0};
    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++)
        make(stay[i], 1, 1000);
    for (size_t i = 0; i < sizeof go / sizeof *go; i++)
        make(go[i], 1, 1000);
    status_keep_add(&keep, mem_text(SLICE("a.b.")));
    status_keep_add(&keep, mem_text(SLICE("loading.")));
    status_keep_add(&keep, mem_text(SLICE("c.d." HEX)));
    (void)status_files_tidy(folder, &keep, UNLIMITED);
    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++)
        cr_expect(is_there(stay[i]), "%s", stay[i]);
    for (size_t i = 0; i < sizeof go / sizeof *go; i++)
        cr_expect_not(is_there(go[i]), "%s", go[i]);
    status_keep_fini(&keep);
}

static const char *numbered(unsigned i)
{
    static char name[64];
    (void)snprintf(name, sizeof name, "a.b.%032x", i);
    return name;
}

Test(status_files, too_many_go_by_their_age_until_there_is_some_room)
{
    for (unsigned i = 0; i < 16; i++)
        make(numbered(i), 1, 1000 + (time_t)(i * 7 % 16)); // the oldest: 0, 7, 14, ...
    struct status_room room = status_files_tidy(folder, NULL, (struct status_room){17, 1000});
    cr_expect_eq(room.files, 1);
    cr_expect_eq(room.bytes, 1000 - 16);
    room = status_files_tidy(folder, NULL, (struct status_room){16, 1000});
    cr_expect_eq(room.files, 2);
    for (unsigned i = 0; i < 16; i++)
        cr_expect_eq(is_there(numbered(i)), i * 7 % 16 >= 2, "%u", i);
}

Test(status_files, too_much_goes_by_its_age_too)
{
    for (unsigned i = 0; i < 4; i++)
        make(numbered(i), 1000, 1000 + (time_t)i);
    const struct status_room room =
        status_files_tidy(folder, NULL, (struct status_room){100, 4000});
    cr_expect_eq(room.bytes, 1000);
    cr_expect_not(is_there(numbered(0)));
    cr_expect(is_there(numbered(1)));
}

Test(status_files, a_folder_that_is_not_there_has_room)
{
    const struct status_room room =
        status_files_tidy(at("none"), NULL, (struct status_room){5, 50});
    cr_expect_eq(room.files, 5);
    cr_expect_eq(room.bytes, 50);
}
