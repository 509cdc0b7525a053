// SPDX-License-Identifier: EUPL-1.2
/* JSON from outside. What makes two readers see two documents is refused here, once: duplicate
 * keys, NUL in strings, text behind the end, numbers that do not fit. */
#include "base/jtree.h"

#define DATE_MAX_S                                                                                 \
    ((json_int_t)1 << 53) /* what every JSON reader can hold exactly (RFC 8259 §6)                \
                           */

json_t *jtree_parse(struct slice text)
{
    if (!text.len || text.len > JTREE_MAX_BYTES)
        return NULL;
    // JSON_ALLOW_NUL and JSON_DECODE_ANY stay off: NUL in a string and a bare scalar are refused.
    json_t *tree = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (tree && !json_is_object(tree)) {
        json_decref(tree);
        return NULL;
    }
    return tree;
}

bool jtree_string(const json_t *object, const char *key, struct slice *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return false;
    *out = slice_from(json_string_value(value), json_string_length(value));
    return true;
}

bool jtree_date(const json_t *object, const char *key, int64_t *out_s)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return false;
    const json_int_t date = json_integer_value(value);
    if (date < 0 || date > DATE_MAX_S)
        return false;
    *out_s = date;
    return true;
}

bool jtree_has(const json_t *object, const char *key)
{
    return json_object_get(object, key) != NULL;
}
