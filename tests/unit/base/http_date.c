// SPDX-License-Identifier: EUPL-1.2
#include "base/http_date.h"

#include <criterion/criterion.h>

Test(http_date, writes_the_one_form_of_the_standard)
{
    static const struct {
        int64_t at;
        const char *text;
    } rows[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* RFC 9110's own example */
        {1709164800, "Thu, 29 Feb 2024 00:00:00 GMT"},
    };
    struct http_date d = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice text = http_date(&d, (struct wall){rows[i].at});
        cr_assert(slice_eq(text, slice_of(rows[i].text)), "%.*s", SLICE_ARG(text));
    }
}
