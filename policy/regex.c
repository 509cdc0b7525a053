// SPDX-License-Identifier: EUPL-1.2
/* A pattern becomes a program of states (Thompson's construction); a search walks the text once
 * with the set of all states that are reachable, so that no pattern can make it go back. Counted
 * repetition copies its part: REGEX_MAX_STATES bounds what that may grow to, and depth the
 * recursion of the parser.
 *
 * The syntax is RE2's: x . [a-z] [^a-z] [[:alpha:]] \d \w \s \D \W \S, xy x|y, x* x+ x? x{2,5} and
 * their lazy forms (which change nothing here), (x) (?:x) (?P<name>x) (?i) (?s:x), ^ $ \A \z \b \B,
 * \t \n \r \f \v \a \x41 \x{1F600} \101. */
#include "policy/regex.h"

#include "base/codec.h"
#include "base/utf8.h"

#define MAX_DEPTH 64
#define MAX_REPEAT 1000
#define NO_STATE UINT32_MAX
#define LAST_POINT 0x10ffffu

enum state_op {
    STATE_POINT, /* one code point, in one of `ranges` */
    STATE_SPLIT, /* both ways */
    STATE_JUMP,
    STATE_TEXT_BEGIN,
    STATE_TEXT_END,
    STATE_LINE_BEGIN,
    STATE_LINE_END,
    STATE_WORD_EDGE,
    STATE_NO_WORD_EDGE,
    STATE_MATCH
};

struct range {
    uint32_t from;
    uint32_t to; /* and this one */
};

struct state {
    enum state_op op;
    uint32_t next;
    uint32_t other; /* of a split */
    uint32_t range_count;
    const struct range *ranges; /* sorted, apart from each other */
    uint64_t ascii[2];          /* the same for the first 128, a bit each: most of all texts */
};

struct regex {
    const struct state *states;
    uint32_t count;
    uint32_t start;
    struct slice pattern;
};

/* --- parsing: straight to states --- */

/* Part of a program: where it begins, and the list of ends that are still open, chained through
 * the very fields that will hold the next state. An end is a state's number times two, plus one for
 * its `other`. */
struct part {
    uint32_t start;
    uint32_t ends;
};

struct parser {
    struct arena *a;
    struct slice text;
    size_t at;
    struct state *states;
    uint32_t count;
    uint32_t depth;
    bool ignores_case; /* i */
    bool many_lines;   /* m */
    bool dot_is_all;   /* s */
    const char *why;
    size_t why_at;
};

static bool fail(struct parser *p, size_t at, const char *why)
{
    if (!p->why) {
        p->why = why;
        p->why_at = at;
    }
    return false;
}

static bool is_end(const struct parser *p)
{
    return p->at >= p->text.len;
}

static char peek(const struct parser *p, size_t more)
{
    return p->at + more < p->text.len ? p->text.ptr[p->at + more] : '\0';
}

static bool accept(struct parser *p, const char *word)
{
    if (!slice_starts(slice_skip(p->text, p->at), slice_of(word)))
        return false;
    p->at += strlen(word);
    return true;
}

/* NO_STATE, with the reason, where there is no more room. */
static uint32_t add_state(struct parser *p, enum state_op op)
{
    if (p->count == REGEX_MAX_STATES) {
        (void)fail(p, p->at, "becomes too large; repeat less, or match shorter parts");
        return NO_STATE;
    }
    p->states[p->count] = (struct state){.op = op, .next = NO_STATE, .other = NO_STATE};
    return p->count++;
}

static uint32_t *end_at(struct parser *p, uint32_t end)
{
    struct state *s = &p->states[end / 2];
    return end % 2 ? &s->other : &s->next;
}

static void close_ends(struct parser *p, uint32_t ends, uint32_t state)
{
    while (ends != NO_STATE) {
        uint32_t *at = end_at(p, ends);
        ends = *at;
        *at = state;
    }
}

static uint32_t join_ends(struct parser *p, uint32_t a, uint32_t b)
{
    if (a == NO_STATE)
        return b;
    uint32_t last = a;
    while (*end_at(p, last) != NO_STATE)
        last = *end_at(p, last);
    *end_at(p, last) = b;
    return a;
}

static bool make_single(struct parser *p, enum state_op op, struct part *out)
{
    const uint32_t state = add_state(p, op);
    *out = (struct part){state, state * 2};
    return state != NO_STATE;
}

/* --- sets of code points --- */

#define MAX_RANGES 256

struct set {
    struct range at[MAX_RANGES];
    uint32_t count;
    bool is_full;
};

static void set_add(struct set *s, uint32_t from, uint32_t to)
{
    if (s->count == MAX_RANGES)
        s->is_full = true;
    else
        s->at[s->count++] = (struct range){from, to};
}

/* The other case of a letter of ASCII or Latin-1; the same where there is none. */
static uint32_t other_case(uint32_t c)
{
    const uint32_t lower = c | 0x20;
    const bool is_ascii = lower >= 'a' && lower <= 'z' && c < 0x80;
    const bool is_latin = lower >= 0xe0 && lower <= 0xfe && lower != 0xf7 && c >= 0xc0;
    return is_ascii || (is_latin && c <= 0xfe) ? c ^ 0x20 : c;
}

/* Letters of other scripts have cases too: rather than to know half of them, all are refused. */
static bool has_unknown_case(uint32_t from, uint32_t to)
{
    return to > 0xff && from < 0x2000 && !(from > 0xff && to < 0x100);
}

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

/* Sorts, and joins what touches. */
static void set_sort(struct set *s)
{
    uint32_t kept = 0;
    qsort(s->at, s->count, sizeof s->at[0], compare_ranges);
    for (uint32_t i = 0; i < s->count; i++) {
        if (kept && s->at[i].from <= s->at[kept - 1].to + 1) {
            if (s->at[i].to > s->at[kept - 1].to)
                s->at[kept - 1].to = s->at[i].to;
        } else {
            s->at[kept++] = s->at[i];
        }
    }
    s->count = kept;
}

static void set_negate(struct set *s)
{
    uint32_t from = 0;
    uint32_t kept = 0;
    set_sort(s);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct range r = s->at[i];
        if (r.from > from)
            s->at[kept++] = (struct range){from, r.from - 1};
        from = r.to + 1;
    }
    s->count = kept;
    if (from <= LAST_POINT)
        set_add(s, from, LAST_POINT);
}

static void set_fold(struct set *s)
{
    const uint32_t count = s->count;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t c = s->at[i].from; c <= s->at[i].to && c <= 0xff; c++)
            if (other_case(c) != c)
                set_add(s, other_case(c), other_case(c));
}

static bool make_set(struct parser *p, struct set *s, struct part *out)
{
    set_sort(s);
    if (s->is_full || s->count == MAX_RANGES)
        return fail(p, p->at, "has a class with too many parts");
    if (!make_single(p, STATE_POINT, out))
        return false;
    struct range *ranges = arena_array(p->a, struct range, s->count);
    memcpy(ranges, s->at, s->count * sizeof *ranges);
    p->states[out->start].ranges = ranges;
    p->states[out->start].range_count = s->count;
    for (uint32_t c = 0; c < 128; c++)
        for (uint32_t i = 0; i < s->count; i++)
            if (c >= ranges[i].from && c <= ranges[i].to)
                p->states[out->start].ascii[c / 64] |= 1ull << c % 64;
    return true;
}

/* One code point, in both cases where case is ignored. */
static bool make_point(struct parser *p, uint32_t c, struct part *out)
{
    struct set s = {.count = 0};
    if (p->ignores_case && has_unknown_case(c, c))
        return fail(p, p->at, "ignores case, which is known of ASCII and Latin-1 letters only");
    set_add(&s, c, c);
    if (p->ignores_case)
        set_fold(&s);
    return make_set(p, &s, out);
}

struct named_class {
    const char *name;
    const char *pairs; /* of the first and the last of each range */
};

/* Adds a class of ASCII, or all that is not in it. */
static void add_class(struct set *s, const char *pairs, bool is_negated)
{
    struct set part = {.count = 0};
    for (const char *c = pairs; *c; c += 2)
        set_add(&part, (unsigned char)c[0], (unsigned char)c[1]);
    if (is_negated)
        set_negate(&part);
    for (uint32_t i = 0; i < part.count; i++)
        set_add(s, part.at[i].from, part.at[i].to);
}

/* \d, \W and the like, behind whose backslash p->at stands. */
static bool accept_perl_class(struct parser *p, struct set *s)
{
    const char c = peek(p, 0);
    const char lower = ascii_lower(c);
    const char *pairs = lower == 'd'   ? "09"
                        : lower == 'w' ? "09AZaz__"
                        : lower == 's' ? "\t\n\f\r  "
                                       : NULL;
    if (!pairs || is_end(p))
        return false;
    p->at++;
    add_class(s, pairs, c != lower);
    return true;
}

/* [:alpha:] and [:^alpha:] inside of brackets. */
static bool read_posix_class(struct parser *p, struct set *s)
{
    static const struct named_class classes[] = {
        {"alnum", "09AZaz"}, {"alpha", "AZaz"}, {"blank", "\t\t  "},  {"digit", "09"},
        {"graph", "!~"},     {"lower", "az"},   {"print", " ~"},      {"punct", "!/:@[`{~"},
        {"space", "\t\r  "}, {"upper", "AZ"},   {"word", "09AZaz__"}, {"xdigit", "09AFaf"},
    };
    const size_t from = p->at;
    p->at += 2; // "[:"
    const bool is_negated = accept(p, "^");
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        const struct slice name = slice_of(classes[i].name);
        const struct slice rest = slice_skip(p->text, p->at);
        if (!slice_starts(rest, name) || !slice_starts(slice_skip(rest, name.len), SLICE(":]")))
            continue;
        p->at += name.len + 2;
        add_class(s, classes[i].pairs, is_negated);
        return true;
    }
    return fail(p, from, "has no such class; [:alpha:], [:digit:] and their like are known");
}

/* --- escapes --- */

static bool read_digits(struct parser *p, size_t count, uint32_t base, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < count; i++) {
        const int digit = hex_value(peek(p, i));
        if (digit < 0 || (uint32_t)digit >= base)
            return false;
        *out = *out * base + (uint32_t)digit;
    }
    p->at += count;
    return true;
}

/* \x41 or \x{1F600}, behind the x. */
static bool read_hex(struct parser *p, uint32_t *out)
{
    const size_t from = p->at;
    if (!accept(p, "{"))
        return read_digits(p, 2, 16, out) || fail(p, from, "has \\x without two hex digits");
    size_t count = 0;
    while (hex_value(peek(p, count)) >= 0)
        count++;
    if (!count || count > 6 || !read_digits(p, count, 16, out) || !accept(p, "}") ||
        *out > LAST_POINT)
        return fail(p, from, "has \\x{...} that is no code point");
    return true;
}

/* What a backslash makes of what stands behind it, where it is one code point. */
static bool read_escape(struct parser *p, uint32_t *out)
{
    static const char names[] = "tnrfva";
    static const char values[] = "\t\n\r\f\v\a";
    const size_t from = p->at - 1;
    const char c = peek(p, 0);
    if (is_end(p))
        return fail(p, from, "ends in a backslash");
    const char *named = c ? strchr(names, c) : NULL;
    if (named) {
        p->at++;
        *out = (uint32_t)values[named - names];
        return true;
    }
    if (c == 'x') {
        p->at++;
        return read_hex(p, out);
    }
    if (c >= '0' && c <= '3' && read_digits(p, 3, 8, out))
        return true;
    if (c >= '0' && c <= '9')
        return fail(p, from, "has a back reference, which no linear search can do");
    if (c == 'p' || c == 'P')
        return fail(p, from, "has \\p, classes of Unicode, which are not carried");
    if (c == 'Q' || c == 'E' || c == 'C')
        return fail(p, from, "has \\Q, \\E or \\C, which are not carried");
    const bool is_word = (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
    if (is_word || (unsigned char)c >= 0x80)
        return fail(p, from, "has an escape that is not known");
    p->at++;
    *out = (unsigned char)c;
    return true;
}

/* --- brackets --- */

static bool read_point(struct parser *p, uint32_t *out)
{
    const size_t len = utf8_next(slice_skip(p->text, p->at), out);
    if (!len)
        return fail(p, p->at, "is not UTF-8");
    p->at += len;
    return true;
}

static bool read_class_point(struct parser *p, uint32_t *out)
{
    return accept(p, "\\") ? read_escape(p, out) : read_point(p, out);
}

static bool read_class_range(struct parser *p, struct set *s)
{
    const size_t from = p->at;
    uint32_t low;
    uint32_t high;
    if (!read_class_point(p, &low))
        return false;
    high = low;
    if (peek(p, 0) == '-' && peek(p, 1) != ']' && p->at + 1 < p->text.len) {
        p->at++;
        if (!read_class_point(p, &high))
            return false;
    }
    if (high < low)
        return fail(p, from, "has a range that goes backwards");
    if (p->ignores_case && has_unknown_case(low, high))
        return fail(p, from, "ignores case, which is known of ASCII and Latin-1 letters only");
    set_add(s, low, high);
    return true;
}

/* Behind "[". */
static bool parse_class(struct parser *p, struct part *out)
{
    const size_t from = p->at - 1;
    const bool is_negated = accept(p, "^");
    struct set s = {.count = 0};
    for (bool is_first = true; is_first || peek(p, 0) != ']'; is_first = false) {
        if (is_end(p))
            return fail(p, from, "has '[' without ']'");
        if (peek(p, 0) == '[' && peek(p, 1) == ':') {
            if (!read_posix_class(p, &s))
                return false;
            continue;
        }
        if (peek(p, 0) == '\\') {
            p->at++;
            if (accept_perl_class(p, &s))
                continue;
            p->at--;
        }
        if (!read_class_range(p, &s))
            return false;
    }
    p->at++;
    if (p->ignores_case)
        set_fold(&s);
    if (is_negated)
        set_negate(&s);
    return make_set(p, &s, out);
}

/* --- atoms, repetition, chains --- */

static bool parse_choice(struct parser *p, struct part *out);

/* (?flags), (?flags:, (?:, (?P<name>, behind "(?". *is_group: a group follows, whose end is asked
 * for. */
static bool parse_flags(struct parser *p, bool *is_group)
{
    const size_t from = p->at - 2;
    bool is_off = false;
    *is_group = true;
    if (accept(p, "P<") || accept(p, "<")) {
        const size_t name = p->at;
        while (hex_value(peek(p, 0)) >= 0 || peek(p, 0) == '_' ||
               (ascii_lower(peek(p, 0)) >= 'a' && ascii_lower(peek(p, 0)) <= 'z'))
            p->at++;
        if (p->at > name && accept(p, ">"))
            return true;
        return fail(p, from, "has (?, which begins (?:x), (?P<name>x), (?i) and their like only");
    }
    for (;;) {
        const char c = peek(p, 0);
        p->at++;
        switch (c) {
        case 'i':
            p->ignores_case = !is_off;
            break;
        case 'm':
            p->many_lines = !is_off;
            break;
        case 's':
            p->dot_is_all = !is_off;
            break;
        case 'U': // greedy or lazy: the same here
            break;
        case '-':
            if (is_off)
                return fail(p, from, "has two '-' in its flags");
            is_off = true;
            break;
        case ':':
            return true;
        case ')':
            *is_group = false;
            return true;
        default:
            return fail(p, from,
                        "has (?, which begins (?:x), (?P<name>x), (?i) and their like only");
        }
    }
}

/* Nothing, which matches everywhere. */
static bool make_empty(struct parser *p, struct part *out)
{
    return make_single(p, STATE_JUMP, out);
}

/* Behind "(". */
static bool parse_group(struct parser *p, struct part *out)
{
    const size_t from = p->at - 1;
    const struct parser before = *p;
    bool is_group = true;
    if (p->depth == MAX_DEPTH)
        return fail(p, from, "is nested too deep");
    if (accept(p, "?")) {
        if (!parse_flags(p, &is_group))
            return false;
        if (!is_group) // flags hold up to the end of the group around
            return make_empty(p, out);
    }
    p->depth++;
    if (!parse_choice(p, out))
        return false;
    p->depth--;
    p->ignores_case = before.ignores_case;
    p->many_lines = before.many_lines;
    p->dot_is_all = before.dot_is_all;
    return accept(p, ")") || fail(p, from, "has '(' without ')'");
}

/* Behind a backslash. */
static bool parse_escape(struct parser *p, struct part *out)
{
    static const struct {
        char name;
        enum state_op op;
    } edges[] = {{'A', STATE_TEXT_BEGIN},
                 {'z', STATE_TEXT_END},
                 {'b', STATE_WORD_EDGE},
                 {'B', STATE_NO_WORD_EDGE}};
    struct set s = {.count = 0};
    uint32_t c;
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        if (!is_end(p) && peek(p, 0) == edges[i].name) {
            p->at++;
            return make_single(p, edges[i].op, out);
        }
    }
    if (accept_perl_class(p, &s))
        return make_set(p, &s, out);
    return read_escape(p, &c) && make_point(p, c, out);
}

static bool parse_dot(struct parser *p, struct part *out)
{
    struct set s = {.count = 0};
    if (p->dot_is_all) {
        set_add(&s, 0, LAST_POINT);
    } else {
        set_add(&s, 0, '\n' - 1);
        set_add(&s, '\n' + 1, LAST_POINT);
    }
    return make_set(p, &s, out);
}

static bool parse_atom(struct parser *p, struct part *out)
{
    uint32_t c;
    switch (peek(p, 0)) {
    case '*':
    case '+':
    case '?':
        return fail(p, p->at, "repeats nothing");
    case '(':
        p->at++;
        return parse_group(p, out);
    case '[':
        p->at++;
        return parse_class(p, out);
    case '\\':
        p->at++;
        return parse_escape(p, out);
    case '.':
        p->at++;
        return parse_dot(p, out);
    case '^':
        p->at++;
        return make_single(p, p->many_lines ? STATE_LINE_BEGIN : STATE_TEXT_BEGIN, out);
    case '$':
        p->at++;
        return make_single(p, p->many_lines ? STATE_LINE_END : STATE_TEXT_END, out);
    default:
        return read_point(p, &c) && make_point(p, c, out);
    }
}

static bool read_count(struct parser *p, size_t *at, uint32_t *out)
{
    const size_t from = *at;
    uint64_t n = 0;
    while (peek(p, *at - p->at) >= '0' && peek(p, *at - p->at) <= '9') {
        n = n * 10 + (uint64_t)(p->text.ptr[*at] - '0');
        n = n > MAX_REPEAT + 1 ? MAX_REPEAT + 1 : n;
        (*at)++;
    }
    *out = (uint32_t)n;
    return *at > from;
}

/* {n}, {n,} or {n,m}; anything else in braces is text, as in RE2. */
static bool accept_counts(struct parser *p, uint32_t *min, uint32_t *max)
{
    size_t at = p->at + 1;
    if (peek(p, 0) != '{' || !read_count(p, &at, min))
        return false;
    *max = *min;
    if (at < p->text.len && p->text.ptr[at] == ',') {
        at++;
        if (!read_count(p, &at, max))
            *max = NO_STATE;
    }
    if (at >= p->text.len || p->text.ptr[at] != '}')
        return false;
    p->at = at + 1;
    return true;
}

/* How often what stands before is repeated: 0 to NO_STATE (for ever). False: just once. */
static bool accept_repeat(struct parser *p, uint32_t *min, uint32_t *max)
{
    *min = 0;
    *max = NO_STATE;
    if (accept(p, "*"))
        return true;
    if (accept(p, "+")) {
        *min = 1;
        return true;
    }
    if (accept(p, "?")) {
        *max = 1;
        return true;
    }
    return accept_counts(p, min, max);
}

/* Once more what p parsed from `from` to `to`. */
static bool parse_again(struct parser *p, const struct parser *before, size_t to, struct part *out)
{
    struct parser copy = *p;
    copy.at = before->at;
    copy.ignores_case = before->ignores_case;
    copy.many_lines = before->many_lines;
    copy.dot_is_all = before->dot_is_all;
    copy.text.len = to;
    const bool is_good = parse_atom(&copy, out);
    p->count = copy.count;
    return is_good || fail(p, copy.why_at, copy.why);
}

static void append(struct parser *p, struct part *whole, struct part more)
{
    if (whole->start == NO_STATE) {
        *whole = more;
        return;
    }
    close_ends(p, whole->ends, more.start);
    whole->ends = more.ends;
}

/* x? of `part`. */
static bool make_optional(struct parser *p, struct part *part)
{
    const uint32_t split = add_state(p, STATE_SPLIT);
    if (split == NO_STATE)
        return false;
    p->states[split].next = part->start;
    part->ends = join_ends(p, part->ends, split * 2 + 1);
    part->start = split;
    return true;
}

/* x*. */
static bool make_loop(struct parser *p, struct part *part)
{
    const uint32_t split = add_state(p, STATE_SPLIT);
    if (split == NO_STATE)
        return false;
    p->states[split].next = part->start;
    close_ends(p, part->ends, split);
    *part = (struct part){split, split * 2 + 1};
    return true;
}

/* `first` was parsed already and is the first copy. */
static bool repeat(struct parser *p, const struct parser *before, size_t to, uint32_t min,
                   uint32_t max, struct part first, struct part *out)
{
    const bool is_endless = max == NO_STATE;
    const uint32_t copies = is_endless ? min + 1 : max;
    struct part whole = {NO_STATE, NO_STATE};
    if (min > MAX_REPEAT || (!is_endless && (max > MAX_REPEAT || max < min)))
        return fail(p, before->at, "repeats more than 1000 times, or less than none");
    for (uint32_t i = 0; i < copies; i++) {
        struct part copy = first;
        if (i && !parse_again(p, before, to, &copy))
            return false;
        if (i >= min && !(is_endless ? make_loop(p, &copy) : make_optional(p, &copy)))
            return false;
        append(p, &whole, copy);
    }
    if (whole.start == NO_STATE)
        return make_empty(p, out);
    *out = whole;
    return true;
}

static bool parse_repeated(struct parser *p, struct part *out)
{
    const struct parser before = *p;
    uint32_t min;
    uint32_t max;
    if (!parse_atom(p, out))
        return false;
    const size_t to = p->at;
    if (!accept_repeat(p, &min, &max))
        return true;
    (void)accept(p, "?"); // lazy: the same here
    if (!repeat(p, &before, to, min, max, *out, out))
        return false;
    const size_t again = p->at;
    if (accept_repeat(p, &min, &max))
        return fail(p, again, "repeats what is repeated; put it in (?:...)");
    return true;
}

static bool parse_chain(struct parser *p, struct part *out)
{
    struct part whole = {NO_STATE, NO_STATE};
    while (!is_end(p) && peek(p, 0) != '|' && peek(p, 0) != ')') {
        struct part next;
        if (!parse_repeated(p, &next))
            return false;
        append(p, &whole, next);
    }
    if (whole.start == NO_STATE)
        return make_empty(p, out);
    *out = whole;
    return true;
}

static bool parse_choice(struct parser *p, struct part *out)
{
    if (!parse_chain(p, out))
        return false;
    while (accept(p, "|")) {
        struct part next;
        if (!parse_chain(p, &next))
            return false;
        const uint32_t split = add_state(p, STATE_SPLIT);
        if (split == NO_STATE)
            return false;
        p->states[split].next = out->start;
        p->states[split].other = next.start;
        *out = (struct part){split, join_ends(p, out->ends, next.ends)};
    }
    return true;
}

struct regex *regex_compile(struct arena *a, struct slice pattern, const char **why, size_t *at)
{
    struct arena scratch;
    struct regex *r = NULL;
    struct part whole;
    arena_init(&scratch, NULL);
    struct parser p = {.a = a, .text = pattern};
    p.states = arena_array(&scratch, struct state, REGEX_MAX_STATES);
    if (parse_choice(&p, &whole) && (is_end(&p) || fail(&p, p.at, "has ')' without '('"))) {
        const uint32_t match = add_state(&p, STATE_MATCH);
        if (match != NO_STATE) {
            struct state *states = arena_array(a, struct state, p.count);
            close_ends(&p, whole.ends, match);
            memcpy(states, p.states, p.count * sizeof *states);
            r = arena_new(a, struct regex);
            *r = (struct regex){states, p.count, whole.start, arena_copy(a, pattern)};
        }
    }
    arena_fini(&scratch);
    *why = p.why;
    *at = p.why_at;
    return r;
}

/* --- searching --- */

/* A set of states that is emptied at once: a state is in it where its place in `dense` says so. */
struct state_set {
    uint16_t *dense;
    uint16_t *sparse;
    uint32_t count;
};

struct search {
    const struct regex *r;
    struct state_set now;
    struct state_set next;
    uint16_t *stack; /* each state goes on it once, and a split pushes one more */
};

/* Two sets, and the stack. */
size_t regex_room(const struct regex *r)
{
    return (size_t)r->count * 6 * sizeof(uint16_t);
}

struct slice regex_pattern(const struct regex *r)
{
    return r->pattern;
}

uint32_t regex_states(const struct regex *r)
{
    return r->count;
}

static bool set_has(const struct state_set *s, uint32_t state)
{
    const uint16_t at = s->sparse[state];
    return at < s->count && s->dense[at] == state;
}

/* What stands on both sides of a place in the text. */
struct edge {
    uint32_t before; /* NO_STATE: the text begins, or ends, here */
    uint32_t after;
};

static bool is_word(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool holds_at(enum state_op op, struct edge e)
{
    const bool is_edge = is_word(e.before) != is_word(e.after);
    switch (op) {
    case STATE_TEXT_BEGIN:
        return e.before == NO_STATE;
    case STATE_TEXT_END:
        return e.after == NO_STATE;
    case STATE_LINE_BEGIN:
        return e.before == NO_STATE || e.before == '\n';
    case STATE_LINE_END:
        return e.after == NO_STATE || e.after == '\n';
    case STATE_WORD_EDGE:
        return is_edge;
    case STATE_NO_WORD_EDGE:
        return !is_edge;
    case STATE_JUMP:
        return true;
    case STATE_POINT:
    case STATE_SPLIT:
    case STATE_MATCH:
        break;
    }
    return false;
}

static void set_put(struct state_set *set, uint32_t state)
{
    set->sparse[state] = (uint16_t)set->count;
    set->dense[set->count++] = (uint16_t)state;
}

/* Adds a state and all that is reached from it without a code point; true where that is a match. */
static bool reach(struct search *x, struct state_set *set, uint32_t start, struct edge e)
{
    uint32_t depth = 0;
    if (set_has(set, start))
        return false;
    if (x->r->states[start].op == STATE_POINT) {
        set_put(set, start);
        return false;
    }
    x->stack[depth++] = (uint16_t)start;
    while (depth) {
        const uint32_t state = x->stack[--depth];
        const struct state *s = &x->r->states[state];
        if (set_has(set, state))
            continue;
        set_put(set, state);
        if (s->op == STATE_MATCH)
            return true;
        // Each state is taken once and pushes two at most, so `2 * count` is room enough.
        if (s->op == STATE_SPLIT) {
            x->stack[depth++] = (uint16_t)s->other;
            x->stack[depth++] = (uint16_t)s->next;
        } else if (holds_at(s->op, e)) {
            x->stack[depth++] = (uint16_t)s->next;
        }
    }
    return false;
}

static bool takes(const struct state *s, uint32_t c)
{
    if (c < 128)
        return s->ascii[c / 64] >> c % 64 & 1;
    uint32_t from = 0;
    uint32_t to = s->range_count;
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;
        if (c < s->ranges[middle].from)
            to = middle;
        else if (c > s->ranges[middle].to)
            from = middle + 1;
        else
            return true;
    }
    return false;
}

/* The code point at the front of `rest`, which is taken off it; NO_STATE at the end. */
static uint32_t take_point(struct slice *rest)
{
    uint32_t c = 0xfffd;
    if (!rest->len)
        return NO_STATE;
    if ((unsigned char)rest->ptr[0] < 0x80) {
        c = (unsigned char)rest->ptr[0];
        *rest = slice_skip(*rest, 1);
        return c;
    }
    const size_t len = utf8_next(*rest, &c);
    *rest = slice_skip(*rest, len ? len : 1);
    return c;
}

bool regex_search(const struct regex *r, struct slice text, void *room)
{
    uint16_t *at = room;
    const size_t n = r->count;
    // `sparse` may hold anything: what it says is checked in `dense`.
    struct search x = {
        .r = r, .now = {at, at + n, 0}, .next = {at + 2 * n, at + 3 * n, 0}, .stack = at + 4 * n};
    struct edge e = {.before = NO_STATE};
    e.after = take_point(&text);
    for (;;) {
        if (reach(&x, &x.now, r->start, e)) // a match may begin anywhere
            return true;
        const uint32_t c = e.after;
        if (c == NO_STATE)
            return false;
        e = (struct edge){c, take_point(&text)};
        x.next.count = 0;
        for (uint32_t i = 0; i < x.now.count; i++) {
            const struct state *s = &r->states[x.now.dense[i]];
            if (s->op == STATE_POINT && takes(s, c) && reach(&x, &x.next, s->next, e))
                return true;
        }
        const struct state_set old = x.now;
        x.now = x.next;
        x.next = old;
    }
}
