// SPDX-License-Identifier: EUPL-1.2
/* Queries that can't be read: a stream that lives is judged again and again, in one arena. */
#include "policy/query.h"

#include <criterion/criterion.h>

#include "policy/decide_in.h"

Test(query, a_query_that_is_not_read_takes_memory_once)
{
    static const char *const queries[] = {"a=1;b=2", "a=%zz", "a=1&b=%"};
    struct rules rules = {.reads_query = true};
    const struct application app = {.rules = &rules};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        const struct request r = {.has_query = true, .query = slice_of(queries[i])};
        struct facts facts = {.app = &app, .request = &r};
        struct arena a;
        arena_init(&a, NULL);
        query_read_for_rules(NULL, &facts, &a);
        const char *at = a.at;
        const size_t bytes = a.total_bytes;
        query_read_for_rules(NULL, &facts, &a);
        cr_expect(!facts.parameters.at, "%s", queries[i]);
        cr_expect(a.at == at && a.total_bytes == bytes, "%s", queries[i]);
        arena_fini(&a);
    }
}
