// SPDX-License-Identifier: EUPL-1.2
/* The ring of ticket keys: a folder that can't be read as meant never leads to keys that nobody
 * chose. (What handshakes do is in tests/behaviour.) */
#include "proxy/tls.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"

static char dir[64];

static void begin(void)
{
    base_init();
    (void)umask(077);
    (void)snprintf(dir, sizeof dir, "/tmp/belfry-ring-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static int forget(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about, (void)kind, (void)where;
    return remove(path);
}

static void end(void)
{
    (void)nftw(dir, forget, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(ticket_ring, .init = begin, .fini = end);

static void put_key(const char *name, char digit, size_t digits)
{
    char path[256];
    char text[512];
    struct fault f;
    (void)snprintf(path, sizeof path, "%s/ticket", dir);
    cr_assert(dir_make(path, 0700, &f));
    (void)snprintf(path, sizeof path, "%s/ticket/%s", dir, name);
    memset(text, digit, digits);
    cr_assert(file_write(path, slice_from(text, digits), 0600, &f), "%s", f.text);
}

Test(ticket_ring, the_newest_name_seals_and_four_open)
{
    struct ticket_ring ring;
    struct fault f;
    put_key("20260103.key", 'c', 160);
    put_key("20260101.key", 'a', 160);
    put_key("20260105.key", 'e', 160);
    put_key("20260102.key", 'b', 160);
    put_key("20260104.key", 'd', 160);
    put_key("20260199.old", 'f', 160);
    cr_assert(ticket_ring_read(&ring, dir, &f), "%s", f.text);
    cr_assert_eq(ring.count, 4);
    static const uint8_t newest_first[] = {0xee, 0xdd, 0xcc, 0xbb};
    for (size_t i = 0; i < 4; i++)
        cr_expect_eq(ring.keys[i].hmac[31], newest_first[i]);
}

Test(ticket_ring, without_a_folder_each_process_has_keys_of_its_own)
{
    struct ticket_ring one;
    struct ticket_ring two;
    struct fault f;
    cr_assert(ticket_ring_read(&one, dir, &f) && ticket_ring_read(&two, dir, &f));
    cr_assert_eq(one.count, 1);
    cr_assert_arr_neq(&one.keys[0], &two.keys[0], sizeof one.keys[0]);
}

Test(ticket_ring, what_is_no_ring_is_refused)
{
    struct ticket_ring ring;
    struct fault f;
    char path[256];
    char far[500] = "";
    put_key("1.key", 'a', 158);
    cr_expect_not(ticket_ring_read(&ring, dir, &f), "a short key");
    put_key("1.key", 'g', 160);
    cr_expect_not(ticket_ring_read(&ring, dir, &f), "not hex");
    (void)snprintf(path, sizeof path, "%s/ticket/1.key", dir);
    cr_assert_eq(remove(path), 0);
    cr_expect_not(ticket_ring_read(&ring, dir, &f), "an empty folder");
    (void)snprintf(path, sizeof path, "%s/ticket", dir);
    cr_assert_eq(remove(path), 0);
    cr_assert(file_write(path, SLICE("x"), 0600, &f));
    cr_expect_not(ticket_ring_read(&ring, dir, &f), "a file in the place of the folder");
    memset(far, 'x', sizeof far - 1);
    cr_expect_not(ticket_ring_read(&ring, far, &f), "a path that does not fit");
}

Test(ticket_ring, more_keys_than_are_sorted_are_refused)
{
    struct ticket_ring ring;
    struct fault f;
    for (int i = 0; i < 65; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%03d.key", i);
        put_key(name, 'a', 160);
    }
    cr_expect_not(ticket_ring_read(&ring, dir, &f));
    cr_expect_eq(f.code, FAULT_LIMIT);
}
