// SPDX-License-Identifier: EUPL-1.2
#include "audit/redact.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Made-up numbers: 850730-033 and 000102-033 with their check digits, and BIS forms of them. */
static const struct {
    const char *text;
    const char *want;
} table[] = {
    {"/persons/85073003328", "/persons/#"},
    {"85073003328", "#"},
    {"/p/85.07.30-033.28/x", "/p/#/x"},
    {"/p/85-07-30-033-28", "/p/#"},
    {"850730-033.28", "#"},
    {"850730 033 28", "#"},
    {"85%2007%2030%20033%2028", "#"},
    {"a%2085073003328%20b", "a%20#%20b"},
    {"id85073003328x", "id#x"},
    {"85073003328,85073003328", "#,#"},
    {"/2024-01-02-85.07.30-033.28", "/2024-01-02-#"},
    {"/p/00010203340", "/p/#"}, /* born in 2000 */
    {"/p/85273003371", "/p/#"}, /* BIS, month + 20 */
    {"/p/85473003317", "/p/#"}, /* BIS, month + 40 */
    {"/p/85073003329", "/p/85073003329"},
    {"/p/185073003328", "/p/185073003328"},
    {"/p/850730033280", "/p/850730033280"},
    {"/p/8507300332", "/p/8507300332"},
    {"/p/8-5073003328", "/p/8-5073003328"},
    {"/p/85--07.30-033.28", "/p/85--07.30-033.28"},
    {"", ""},
};

Test(redact, finds_each_national_number_and_nothing_else)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct slice text = slice_of(table[i].text);
        char out[128] = "";
        size_t len = 0;
        size_t from = 0;
        size_t start;
        size_t end;
        while (redact_next(text, from, &start, &end)) {
            len += (size_t)snprintf(out + len, sizeof out - len, "%.*s#", (int)(start - from),
                                    text.ptr + from);
            from = end;
        }
        snprintf(out + len, sizeof out - len, "%s", table[i].text + from);
        cr_expect_str_eq(out, table[i].want, "%s", table[i].text);
    }
}
