// SPDX-License-Identifier: EUPL-1.2
#include "audit/writer.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

static char dir[64];
static char path[96];
static struct metrics *metrics;
static struct audit_ring *ring;

static void set_up(void)
{
    snprintf(dir, sizeof dir, "/tmp/belfry-audit-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/audit.json", dir);
    metrics = mem_new(struct metrics);
    ring = audit_ring_new(1 << 20, metrics);
}

static void tear_down(void)
{
    audit_ring_free(ring);
    mem_free(metrics);
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        char name[400];
        snprintf(name, sizeof name, "%s/%s", dir, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(name);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

TestSuite(writer, .init = set_up, .fini = tear_down, .timeout = 60);

static struct audit_writer *started(struct audit_settings s)
{
    struct fault f = {0};
    s.gateway = "gateway-1";
    if (!s.path)
        s.path = path;
    struct audit_writer *w = audit_writer_start(&s, &ring, 1, metrics, &f);
    cr_assert_not_null(w, "%s", f.text);
    return w;
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static bool publish(void)
{
    struct timespec t, mono;
    clock_gettime(CLOCK_REALTIME, &t);
    clock_gettime(CLOCK_MONOTONIC, &mono);
    const struct event e = {.kind = EVENT_DECISION,
                            .is_permit = true,
                            .reason = REASON_PERMITTED,
                            .time_us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000,
                            .at_ms = (int64_t)mono.tv_sec * 1000 + mono.tv_nsec / 1000000,
                            .path = SLICE("/a/path/of/usual/length")};
    return audit_publish(ring, &e);
}

/* Waits until publishing goes as wanted; the number of events that were taken meanwhile, or -1. */
static int publish_until(bool want)
{
    int taken = 0;
    for (int i = 0; i < 4000; i++) {
        const bool is_taken = publish();
        taken += is_taken;
        if (is_taken == want)
            return taken;
        pause_ms(5);
    }
    return -1;
}

/* Checks that the file is whole lines whose sequence goes on from *sequence; returns how many. */
static int lines_of(const char *name, int64_t *sequence)
{
    struct fault f = {0};
    struct slice text;
    int lines = 0;

    cr_assert(file_read(&text, name, 64 << 20, &f), "%s", f.text);
    for (struct slice rest = text; rest.len; lines++) {
        cr_assert_eq(text.ptr[text.len - 1], '\n', "the last line has its end");
        const struct slice line = slice_cut(&rest, '\n');
        json_t *json = json_loadb(line.ptr, line.len, 0, NULL);
        cr_assert_not_null(json, "a whole line: %.*s", SLICE_ARG(line));
        cr_assert_eq(json_integer_value(json_object_get(json, "event.sequence")), ++*sequence);
        json_decref(json);
    }
    mem_slice_free(&text);
    return lines;
}

Test(writer, writes_all_that_was_published_before_the_stop)
{
    struct audit_writer *w = started((struct audit_settings){.is_synced = true});
    int64_t sequence = 0;

    for (int i = 0; i < 300; i++)
        cr_assert(publish());
    for (int i = 0; i < 250; i++)
        audit_refusal(ring, &(struct event){.kind = EVENT_REFUSAL,
                                            .reason = REASON_NOT_FOUND,
                                            .time_us = 1000000,
                                            .client_address = SLICE("::1")});
    audit_writer_stop(w);
    cr_expect_eq(lines_of(path, &sequence), 300 + 100 + 1, "permits, refusals, one count");
    cr_expect_not(publish(), "without a writer nobody is let in");
}

Test(writer, a_disk_that_is_full_refuses_permits_and_loses_no_byte)
{
    const rlim_t room = 10000; /* not a whole number of lines: the last write stops within one */
    struct rlimit old;
    struct stat st;
    int64_t sequence = 0;

    getrlimit(RLIMIT_FSIZE, &old);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){room, old.rlim_max});
    struct audit_writer *w = started((struct audit_settings){0});
    int taken = publish_until(false);
    cr_assert_gt(taken, 0, "permits stop");
    cr_assert(stat(path, &st) == 0 && st.st_size == (off_t)room);
    pause_ms(60);
    cr_expect_not(publish(), "and stay so while it lasts");
    setrlimit(RLIMIT_FSIZE, &old);
    const int more = publish_until(true);
    cr_assert_gt(more, 0, "and go on when there is room");
    audit_writer_stop(w);
    cr_expect_eq(lines_of(path, &sequence), taken + more);
}

Test(writer, a_full_device_refuses_permits)
{
    struct audit_writer *w = started((struct audit_settings){.path = "/dev/full"});
    cr_expect_geq(publish_until(false), 1);
    audit_writer_stop(w);
}

Test(writer, one_that_hangs_in_a_write_refuses_permits_by_itself)
{
    int ends[2];
    char name[64];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_gt(fcntl(ends[0], F_SETPIPE_SZ, 4096), 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", ends[1]);
    struct audit_writer *w = started((struct audit_settings){.path = name, .max_behind_ms = 200});
    cr_assert_gt(publish_until(false), 5, "nobody reads the pipe");
    close(ends[1]);
    const int flags = fcntl(ends[0], F_GETFL);
    fcntl(ends[0], F_SETFL, flags | O_NONBLOCK);
    char bytes[65536];
    bool is_taken = false;
    for (int i = 0, quiet = 0; i < 2000 && quiet < 50; i++) {
        quiet++;
        while (read(ends[0], bytes, sizeof bytes) > 0)
            quiet = 0;
        if (!is_taken)
            is_taken = publish();
        pause_ms(2);
    }
    cr_expect(is_taken, "and lets in again once it is read");
    close(ends[0]);
    audit_writer_stop(w);
}

Test(writer, rotates_at_the_end_of_a_line_and_goes_on_in_a_new_file)
{
    struct audit_writer *w = started((struct audit_settings){.rotate_bytes = 2000});
    int64_t sequence = 0;
    char old[400] = "";

    for (int i = 0; i < 10; i++)
        cr_assert(publish());
    for (int i = 0; i < 400 && !old[0]; i++) {
        DIR *d = opendir(dir);
        for (struct dirent *entry; (entry = readdir(d));)
            if (strncmp(entry->d_name, "audit.json.2", 12) == 0)
                snprintf(old, sizeof old, "%s/%s", dir, entry->d_name);
        closedir(d);
        pause_ms(5);
    }
    cr_assert(publish());
    audit_writer_stop(w);
    cr_assert(old[0] && slice_ends(slice_of(old), SLICE("Z")), "PATH.YYYYmmddTHHMMSSZ");
    cr_expect_eq(lines_of(old, &sequence), 10);
    cr_expect_eq(lines_of(path, &sequence), 1);
}

/* Its rotated name is longer than a name may be. */
Test(writer, says_once_and_not_at_every_pass_that_it_cannot_rotate)
{
    char long_path[400];
    char log[128];
    struct fault f = {0};
    struct slice text;
    int said = 0;

    snprintf(
        long_path, sizeof long_path, "%s/%.*s", dir, 245,
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    snprintf(log, sizeof log, "%s/log", dir);
    cr_assert_not_null(freopen(log, "w", stderr));
    struct audit_writer *w =
        started((struct audit_settings){.path = long_path, .rotate_bytes = 100});
    for (int i = 1; i <= 10; i++) {
        cr_assert(publish_until(true) >= 0);
        for (int k = 0; k < 2000 && metric_get(metrics, METRIC_AUDIT_EVENTS_TOTAL) < i; k++)
            pause_ms(1);
    }
    audit_writer_stop(w);
    cr_assert(file_read(&text, log, 1 << 20, &f), "%s", f.text);
    for (struct slice rest = text; rest.len; said++)
        (void)slice_cut(&rest, '\n');
    mem_slice_free(&text);
    cr_expect_eq(said, 1, "%d lines", said);
}

Test(writer, reopens_its_path_and_mends_a_line_that_a_crash_left_open)
{
    char old[128];
    struct stat st;
    int64_t sequence = 0;
    snprintf(old, sizeof old, "%s.1", path);
    struct audit_writer *w = started((struct audit_settings){0});

    cr_assert(publish());
    pause_ms(100);
    cr_assert_eq(rename(path, old), 0);
    FILE *half = fopen(path, "w");
    fputs("{\"half", half);
    fclose(half);
    audit_writer_reopen(w);
    for (int i = 0; i < 400 && (stat(path, &st) != 0 || st.st_size < 7); i++)
        pause_ms(5);
    cr_assert(publish());
    audit_writer_stop(w);
    cr_expect_eq(lines_of(old, &sequence), 1);
    struct fault f = {0};
    struct slice text;
    cr_assert(file_read(&text, path, 1 << 20, &f));
    struct slice rest = text;
    cr_expect(slice_eq(slice_cut(&rest, '\n'), SLICE("{\"half")));
    const struct slice line = slice_cut(&rest, '\n');
    json_t *json = json_loadb(line.ptr, line.len, 0, NULL);
    cr_expect_eq(json_integer_value(json_object_get(json, "event.sequence")), 2);
    json_decref(json);
    mem_slice_free(&text);
}

Test(writer, does_not_start_where_it_can_not_write)
{
    struct fault f = {0};
    const struct audit_settings s = {.path = "/nowhere/audit.json", .gateway = "g"};
    cr_expect_null(audit_writer_start(&s, &ring, 1, metrics, &f));
    cr_expect_eq(f.code, FAULT_IO);
    cr_expect_not(publish());
}
