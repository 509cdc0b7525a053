// SPDX-License-Identifier: EUPL-1.2
#include "proxy/config.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"

/* The smallest configuration; one key in addition, where the section is there already, too. */
static const char base[] = "listen: [\"127.0.0.1:8443\"]\n"
                           "state_dir: /s\ncertificates_dir: /c\nkeys_dir: /k\n"
                           "trust: { federation_keys: [{ id: a, public: "
                           "I1nTodX3dkXaLNggSsyrEaqavRCgFBYPJ9jI25MfaeU= }] }\n"
                           "store: { url: \"redis+unix:///r\" }\naudit: { file: /a }\n";

static struct config *read_text(const char *text, struct findings *found)
{
    char path[] = "/tmp/config-test-XXXXXX";
    struct fault fault = {0};
    const int fd = mkstemp(path);
    cr_assert(fd >= 0 && close(fd) == 0);
    cr_assert(file_write(path, slice_of(text), 0600, &fault), "%s", fault.text);
    struct config *c = config_read(path, found);
    (void)unlink(path);
    return c;
}

static struct config *read_with(const char *from, const char *to)
{
    char text[2048];
    struct findings found;
    const char *at = from[0] ? strstr(base, from) : base + strlen(base);
    cr_assert(at, "'%s' is not in the base", from);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - base), base, to, at + strlen(from));
    findings_init(&found);
    struct config *c = read_text(text, &found);
    cr_assert(c, "%s: %s", to, found.count ? found.at[0].text : "");
    findings_fini(&found);
    return c;
}

/* What a running gateway would not take up is refused by name, rather than taken and forgotten. */
static const struct {
    const char *from;
    const char *to;
    const char *fixed; /* empty: a reload takes it up */
} changes[] = {
    {"", "", ""},
    {"", "log: { level: debug }\n", ""},
    {"certificates_dir: /c", "certificates_dir: /d", ""},
    {"keys_dir: /k", "keys_dir: /l", ""},
    {"trust: {", "trust: { min_charter_serial: 7,", ""},
    {"id: a,", "id: b,", ""},
    {"8443", "8444", "listen"},
    {"[\"127.0.0.1:8443\"]", "[\"127.0.0.1:8443\", \"[::1]:8443\"]", "listen"},
    {"", "workers: 200\n", "workers"},
    {"state_dir: /s", "state_dir: /t", "state_dir"},
    {"", "drain: 5s\n", "drain"},
    {"", "user: nobody\n", "user"},
    {"", "group: nogroup\n", "group"},
    {"", "sandbox: off\n", "sandbox"},
    {"", "sandbox: on\n", ""},
    {"", "admin: { listen: \"127.0.0.1:1\" }\n", "admin.listen"},
    {"unix:///r", "unix:///q", "store.url"},
    {"store: {", "store: { max_stale: 2h,", "store.max_stale"},
    {"file: /a", "file: /b", "audit.file"},
    {"file: /a", "file: /a, durability: synced", "audit.durability"},
    {"file: /a", "file: /a, rotate: 1MiB", "audit.rotate"},
    {"file: /a", "file: /a, max_behind: 2s", "audit.max_behind"},
    {"", "fetch: { ca_file: /f }\n", "fetch.ca_file"},
    {"", "dns: { servers: [127.0.0.1] }\n", "dns.servers"},
    {"", "dns: { max_stale: 2h }\n", "dns.max_stale"},
    {"", "limits: { streams: 7 }\n", "limits.streams"},
    {"", "timeouts: { head: 7s }\n", "timeouts.head"},
};

Test(config, a_reload_takes_up_or_refuses_each_change_and_forgets_none, .init = base_init)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct config *old = read_with("", "");
        struct config *new = read_with(changes[i].from, changes[i].to);
        const struct slice fixed = config_fixed_difference(old, new);
        cr_expect(slice_eq(fixed, slice_of(changes[i].fixed)), "%s: '%.*s'", changes[i].to,
                  SLICE_ARG(fixed));
        config_free(old);
        config_free(new);
    }
}

static const struct {
    const char *text;
    const char *code;
} mistakes[] = {
    {"drian: 5s\n", "unknown-key"},
    {"limits: { stream: 7 }\n", "unknown-key"},
    {"drain: 5\n", "wrong-value"},
    {"drain: 2h\n", "out-of-range"},
    {"admin: { listen: [a] }\n", "wrong-type"},
    {"admin: { listen: localhost }\n", "bad-address"},
    {"log: { level: loud }\n", "wrong-value"},
    {"workers: 257\n", "out-of-range"},
    {"dns: { servers: 127.0.0.1 }\n", "wrong-type"},
    {"dns: { servers: [] }\n", "wrong-type"},
    {"dns: { servers: [dns.example] }\n", "bad-address"},
    {"dns: { servers: ['127.0.0.1:0'] }\n", "bad-address"},
    {"dns: { servers: [::1] }\n", "bad-address"},
};

Test(config, each_mistake_is_told_and_refuses_the_whole, .init = base_init)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        char text[2048];
        struct findings found;
        (void)snprintf(text, sizeof text, "%s%s", base, mistakes[i].text);
        findings_init(&found);
        cr_expect_null(read_text(text, &found), "%s", mistakes[i].text);
        cr_expect(found.errors == 1 && strcmp(found.at[0].code, mistakes[i].code) == 0, "%s: %s",
                  mistakes[i].text, found.count ? found.at[0].code : "nothing");
        findings_fini(&found);
    }
}

Test(config, servers_of_names_are_addresses_with_a_port_or_without, .init = base_init)
{
    struct config *c =
        read_with("", "dns: { servers: [10.0.0.53, '127.0.0.1:5353', '[::1]', '[::1]:53'] }\n");
    cr_assert_eq(c->dns_servers.count, 4);
    cr_expect(slice_eq(c->dns_servers.at[2], SLICE("[::1]")));
    cr_expect_eq(c->dns_max_stale_ms, 3600000);
    config_free(c);
}

Test(config, what_is_required_is_not_empty, .init = base_init)
{
    static const char *const texts[][2] = {{"state_dir: /s", "state_dir: \"\""},
                                           {"certificates_dir: /c", "certificates_dir: \"\""},
                                           {"keys_dir: /k", "keys_dir: \"\""},
                                           {"\"redis+unix:///r\"", "\"\""},
                                           {"file: /a", "file: \"\""}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[2048];
        struct findings found;
        const char *at = strstr(base, texts[i][0]);
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - base), base, texts[i][1],
                       at + strlen(texts[i][0]));
        findings_init(&found);
        cr_expect_null(read_text(text, &found), "%s", texts[i][1]);
        cr_expect(found.errors == 1 && strcmp(found.at[0].code, "missing-key") == 0, "%s",
                  texts[i][1]);
        findings_fini(&found);
    }
}

Test(config, nothing_is_trusted_or_reached_by_default, .init = base_init)
{
    struct findings found;
    findings_init(&found);
    cr_expect_null(read_text("{}\n", &found));
    /* listen, state_dir, certificates_dir, keys_dir, store.url, audit.file, federation_keys */
    cr_expect(found.errors == 7, "%zu", found.errors);
    findings_fini(&found);
}

Test(config, a_store_on_another_machine_needs_a_word_of_consent, .init = base_init)
{
    static const struct {
        const char *url;
        const char *word;
        bool is_good;
    } stores[] = {
        {"redis://127.0.0.1:1", "", true},
        {"redis://localhost", "", true},
        {"redis://[::1]:1", "", true},
        {"redis://10.0.0.1:1", "", false},
        {"redis://store.example:1", "", false},
        {"redis://localhost.example:1", "", false},
        {"redis://10.0.0.1:1", ", cleartext: accepted", true},
        {"redis://10.0.0.1:1", ", cleartext: true", false},
        {"rediss://127.0.0.1:1", "", false},
    };
    for (size_t i = 0; i < sizeof stores / sizeof *stores; i++) {
        char text[2048];
        struct findings found;
        const char *at = strstr(base, "\"redis+unix:///r\"");
        (void)snprintf(text, sizeof text, "%.*s\"%s\"%s%s", (int)(at - base), base, stores[i].url,
                       stores[i].word, at + strlen("\"redis+unix:///r\""));
        findings_init(&found);
        struct config *c = read_text(text, &found);
        cr_expect((c != NULL) == stores[i].is_good, "%s%s", stores[i].url, stores[i].word);
        config_free(c);
        findings_fini(&found);
    }
}
