// SPDX-License-Identifier: EUPL-1.2
/* Any bytes as a pattern, a line, and a text: it compiles or says why, in the pattern; what
 * compiles stays in its bounds, answers the same twice, and finds in a longer text what it found in
 * a part of it that it was not tied to the ends of. */
#include <assert.h>
#include <stdlib.h>

#include "policy/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_edge(struct slice pattern)
{
    for (size_t i = 0; i < pattern.len; i++)
        if (strchr("^$\\(", pattern.ptr[i]))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_from(data, size);
    const struct slice pattern = slice_cut(&text, '\n');
    const char *why;
    size_t at;
    struct arena a;
    if (text.len > REGEX_MAX_TEXT)
        text.len = REGEX_MAX_TEXT;
    arena_init(&a, NULL);
    const struct regex *r = regex_compile(&a, pattern, &why, &at);
    assert(r ? !why : why && at <= pattern.len);
    if (r) {
        assert(regex_states(r) > 0 && regex_states(r) <= REGEX_MAX_STATES);
        void *room = malloc(regex_room(r)); /* its own, so that one byte too far is seen */
        memset(room, 0xa5, regex_room(r));
        const bool is_match = regex_search(r, text, room);
        assert(is_match == regex_search(r, text, room));
        const struct slice part = slice_skip(text, text.len / 2);
        /* A part may begin inside of a character, which then reads otherwise. */
        if (!has_edge(pattern) && part.len && ((unsigned char)part.ptr[0] & 0xc0) != 0x80 &&
            regex_search(r, part, room))
            assert(is_match);
        free(room);
    }
    arena_fini(&a);
    return 0;
}
