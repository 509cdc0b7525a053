// SPDX-License-Identifier: EUPL-1.2
/* Forms, queries and return paths from anywhere. Properties: what was read and is written again is
 * read the same; a return path begins with one "/" and holds nothing that a browser would take for
 * another host's name. */
#include <assert.h>
#include <stdlib.h>

#include "proxy/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice print(struct arena *a, const struct form *f, size_t size)
{
    char *text = arena_bytes(a, 3 * size + 2 * f->count + 1), *at = text;
    for (uint32_t i = 0; i < f->count; i++) {
        if (i)
            *at++ = '&';
        at = form_escape(at, f->fields[i].name);
        *at++ = '=';
        at = form_escape(at, f->fields[i].value);
    }
    return slice_from(text, (size_t)(at - text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice text = slice_from(data, size);
    struct arena a;
    struct form one, two;
    arena_init(&a, NULL);
    if (form_parse(&a, text, &one)) {
        const struct slice again = print(&a, &one, size);
        if (again.len <= FORM_MAX_BYTES) {
            assert(form_parse(&a, again, &two) && one.count == two.count);
            for (uint32_t i = 0; i < one.count; i++)
                assert(slice_eq(one.fields[i].name, two.fields[i].name) &&
                       slice_eq(one.fields[i].value, two.fields[i].value));
            assert(form_is_plain(&one) == form_is_plain(&two));
        }
    }
    if (return_path_is_valid(text)) {
        assert(text.ptr[0] == '/' &&
               (text.len == 1 || (text.ptr[1] != '/' && text.ptr[1] != '\\')));
        for (size_t i = 0; i < text.len; i++)
            assert(text.ptr[i] > 0x20 && text.ptr[i] < 0x7F && text.ptr[i] != '\\');
    }
    arena_fini(&a);
    return 0;
}
