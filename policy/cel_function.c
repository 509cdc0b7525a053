// SPDX-License-Identifier: EUPL-1.2
/* The functions and operators of the condition language that take scalars and give one: one table,
 * a line for each overload. A function never sees an argument of another kind than its line says.
 * What can't be answered (an overflow, a text that is no number) is an error with its reason. */
#include "policy/cel_time_in.h"

#include <math.h>

#include "base/network.h"
#include "base/utf8.h"

typedef const union cel_value *args;

static const char overflow[] = "the result is out of range";

/* --- arithmetic --- */

#define CHECKED(name, builtin, field)                                                              \
    static bool name(struct cel_frame *f, args a, union cel_value *out)                            \
    {                                                                                              \
        return !builtin(a[0].field, a[1].field, &out->field) || cel_fail(f, overflow);             \
    }
CHECKED(add_int, __builtin_add_overflow, i)
CHECKED(add_uint, __builtin_add_overflow, u)
CHECKED(subtract_int, __builtin_sub_overflow, i)
CHECKED(subtract_uint, __builtin_sub_overflow, u)
CHECKED(multiply_int, __builtin_mul_overflow, i)
CHECKED(multiply_uint, __builtin_mul_overflow, u)
#undef CHECKED

#define DOUBLES(name, sign)                                                                        \
    static bool name(struct cel_frame *f, args a, union cel_value *out)                            \
    {                                                                                              \
        (void)f;                                                                                   \
        out->d = a[0].d sign a[1].d;                                                               \
        return true;                                                                               \
    }
DOUBLES(add_double, +)
DOUBLES(subtract_double, -)
DOUBLES(multiply_double, *)
#undef DOUBLES

/* IEEE 754: 1.0 / 0.0 is infinite, 0.0 / 0.0 is NaN. */
static __attribute__((no_sanitize("float-divide-by-zero"))) bool
divide_double(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    out->d = a[0].d / a[1].d;
    return true;
}

static bool divide_int(struct cel_frame *f, args a, union cel_value *out)
{
    if (!a[1].i)
        return cel_fail(f, "division by zero");
    if (a[0].i == INT64_MIN && a[1].i == -1)
        return cel_fail(f, overflow);
    out->i = a[0].i / a[1].i;
    return true;
}

static bool divide_uint(struct cel_frame *f, args a, union cel_value *out)
{
    if (!a[1].u)
        return cel_fail(f, "division by zero");
    out->u = a[0].u / a[1].u;
    return true;
}

static bool modulo_int(struct cel_frame *f, args a, union cel_value *out)
{
    if (!a[1].i)
        return cel_fail(f, "modulus by zero");
    if (a[0].i == INT64_MIN && a[1].i == -1)
        return cel_fail(f, overflow);
    out->i = a[0].i % a[1].i;
    return true;
}

static bool modulo_uint(struct cel_frame *f, args a, union cel_value *out)
{
    if (!a[1].u)
        return cel_fail(f, "modulus by zero");
    out->u = a[0].u % a[1].u;
    return true;
}

static bool negate_int(struct cel_frame *f, args a, union cel_value *out)
{
    return !__builtin_sub_overflow(0, a[0].i, &out->i) || cel_fail(f, overflow);
}

static bool negate_double(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    out->d = -a[0].d;
    return true;
}

static bool join(struct cel_frame *f, args a, union cel_value *out)
{
    const struct slice x = a[0].s;
    const struct slice y = a[1].s;
    if (!x.len || !y.len) {
        out->s = x.len ? x : y;
        return true;
    }
    char *at = cel_scratch(f, x.len + y.len);
    if (!at)
        return false;
    memcpy(at, x.ptr, x.len);
    memcpy(at + x.len, y.ptr, y.len);
    out->s = (struct slice){at, x.len + y.len};
    return true;
}

static bool add_to_time(struct cel_frame *f, args a, union cel_value *out)
{
    return cel_time_add(a[0].time, a[1].i, &out->time) || cel_fail(f, overflow);
}

static bool add_time(struct cel_frame *f, args a, union cel_value *out)
{
    return cel_time_add(a[1].time, a[0].i, &out->time) || cel_fail(f, overflow);
}

static bool subtract_from_time(struct cel_frame *f, args a, union cel_value *out)
{
    if (a[1].i == INT64_MIN)
        return cel_fail(f, overflow);
    return cel_time_add(a[0].time, -a[1].i, &out->time) || cel_fail(f, overflow);
}

static bool subtract_times(struct cel_frame *f, args a, union cel_value *out)
{
    int64_t ns;
    if (!cel_time_between(a[0].time, a[1].time, &ns))
        return cel_fail(f, overflow);
    out->i = ns;
    return true;
}

/* --- conversions --- */

static bool same(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    *out = a[0];
    return true;
}

static bool int_of_uint(struct cel_frame *f, args a, union cel_value *out)
{
    if (a[0].u > INT64_MAX)
        return cel_fail(f, overflow);
    out->i = (int64_t)a[0].u;
    return true;
}

/* Non-inclusive: what lies on the edge may have been rounded there (langdef, "Overflow"). */
static bool int_of_double(struct cel_frame *f, args a, union cel_value *out)
{
    static const double edge = 0x1p63;
    if (!(a[0].d > -edge && a[0].d < edge))
        return cel_fail(f, overflow);
    out->i = (int64_t)a[0].d;
    return true;
}

static bool int_of_time(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    out->i = a[0].time.s;
    return true;
}

static bool is_decimal(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0;
}

static bool int_of_string(struct cel_frame *f, args a, union cel_value *out)
{
    struct slice s = a[0].s;
    const bool is_negative = slice_starts(s, SLICE("-"));
    if (is_negative || slice_starts(s, SLICE("+")))
        s = slice_skip(s, 1);
    int64_t n = 0;
    bool is_good = is_decimal(s);
    for (size_t i = 0; is_good && i < s.len; i++) {
        const int64_t digit = s.ptr[i] - '0';
        is_good = !__builtin_mul_overflow(n, (int64_t)10, &n) &&
                  !__builtin_sub_overflow(n, digit, &n); // downwards, where there is one more
    }
    is_good = is_good && (is_negative || !__builtin_sub_overflow(0, n, &n));
    out->i = n;
    return is_good || cel_fail(f, "the text is no int");
}

static bool uint_of_int(struct cel_frame *f, args a, union cel_value *out)
{
    if (a[0].i < 0)
        return cel_fail(f, overflow);
    out->u = (uint64_t)a[0].i;
    return true;
}

static bool uint_of_double(struct cel_frame *f, args a, union cel_value *out)
{
    if (!(a[0].d >= 0 && a[0].d < 0x1p64))
        return cel_fail(f, overflow);
    out->u = (uint64_t)a[0].d;
    return true;
}

static bool uint_of_string(struct cel_frame *f, args a, union cel_value *out)
{
    const struct slice s = a[0].s;
    uint64_t n = 0;
    bool is_good = is_decimal(s);
    for (size_t i = 0; is_good && i < s.len; i++)
        is_good = !__builtin_mul_overflow(n, (uint64_t)10, &n) &&
                  !__builtin_add_overflow(n, (uint64_t)(s.ptr[i] - '0'), &n);
    out->u = n;
    return is_good || cel_fail(f, "the text is no uint");
}

static bool double_of_int(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    out->d = (double)a[0].i;
    return true;
}

static bool double_of_uint(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    out->d = (double)a[0].u;
    return true;
}

/* [0-9]*[.][0-9]*[e[+-]?[0-9]+], with a digit before the e. */
static bool is_number(struct slice s)
{
    size_t i = 0;
    size_t digits = 0;
    for (bool has_point = false; i < s.len; i++) {
        const bool is_digit = s.ptr[i] >= '0' && s.ptr[i] <= '9';
        if (!is_digit && (has_point || s.ptr[i] != '.'))
            break;
        digits += is_digit;
        has_point = has_point || !is_digit;
    }
    if (i == s.len || !digits)
        return digits > 0;
    if (ascii_lower(s.ptr[i]) != 'e')
        return false;
    struct slice power = slice_skip(s, i + 1);
    if (slice_starts(power, SLICE("-")) || slice_starts(power, SLICE("+")))
        power = slice_skip(power, 1);
    return is_decimal(power);
}

bool cel_read_double(double *out, struct slice s)
{
    char copy[400]; // the longest exact decimal that anybody writes; more digits change nothing
    const bool is_negative = slice_starts(s, SLICE("-"));
    if (is_negative || slice_starts(s, SLICE("+")))
        s = slice_skip(s, 1);
    if (slice_eq_nocase(s, SLICE("NaN"))) {
        *out = NAN;
    } else if (slice_eq_nocase(s, SLICE("Infinity")) || slice_eq_nocase(s, SLICE("Inf"))) {
        *out = INFINITY;
    } else if (s.len < sizeof copy && is_number(s)) {
        memcpy(copy, s.ptr, s.len);
        copy[s.len] = '\0';
        *out = strtod(copy, NULL); // the process stays in the C locale
    } else {
        return false;
    }
    *out = is_negative ? -*out : *out;
    return true;
}

static bool double_of_string(struct cel_frame *f, args a, union cel_value *out)
{
    double d;
    if (!cel_read_double(&d, a[0].s))
        return cel_fail(f, "the text is no double");
    out->d = d;
    return true;
}

static bool bool_of_string(struct cel_frame *f, args a, union cel_value *out)
{
    static const struct slice words[] = {
        SLICE_INIT("0"),     SLICE_INIT("1"),    SLICE_INIT("f"),     SLICE_INIT("t"),
        SLICE_INIT("F"),     SLICE_INIT("T"),    SLICE_INIT("false"), SLICE_INIT("true"),
        SLICE_INIT("False"), SLICE_INIT("True"), SLICE_INIT("FALSE"), SLICE_INIT("TRUE")};
    const struct slice s = a[0].s;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (slice_eq(s, words[i])) {
            out->b = i % 2;
            return true;
        }
    }
    return cel_fail(f, "the text is no bool");
}

static bool string_of_bytes(struct cel_frame *f, args a, union cel_value *out)
{
    for (struct slice rest = a[0].s; rest.len;) {
        uint32_t point;
        const size_t len = utf8_next(rest, &point);
        if (!len)
            return cel_fail(f, "the bytes are no UTF-8");
        rest = slice_skip(rest, len);
    }
    *out = a[0];
    return true;
}

static bool string_of_bool(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    out->s = a[0].b ? SLICE("true") : SLICE("false");
    return true;
}

#define PRINTED(name, print)                                                                       \
    static bool name(struct cel_frame *f, args a, union cel_value *out)                            \
    {                                                                                              \
        char text[64] = "";                                                                        \
        return cel_scratch_text(f, (struct slice){text, print}, out);                              \
    }
PRINTED(string_of_int, (size_t)snprintf(text, sizeof text, "%lld", (long long)a[0].i))
PRINTED(string_of_uint, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)a[0].u))
PRINTED(string_of_double, cel_print_double(text, a[0].d))
PRINTED(string_of_time, cel_print_time(text, a[0].time))
PRINTED(string_of_duration, cel_print_duration(text, a[0].i))
PRINTED(string_of_ip, cel_print_ip(text, a[0].ip))
PRINTED(string_of_cidr, cel_print_cidr(text, a[0].cidr))
#undef PRINTED

static bool time_of_string(struct cel_frame *f, args a, union cel_value *out)
{
    struct cel_time t;
    if (!cel_read_time(&t, a[0].s))
        return cel_fail(f, "the text is no timestamp of the years 1 to 9999, such as "
                           "2026-01-31T08:00:00Z");
    out->time = t;
    return true;
}

static bool time_of_int(struct cel_frame *f, args a, union cel_value *out)
{
    const struct cel_time t = {a[0].i, 0};
    if (!cel_time_is_valid(t))
        return cel_fail(f, overflow);
    out->time = t;
    return true;
}

static bool duration_of_string(struct cel_frame *f, args a, union cel_value *out)
{
    int64_t ns;
    if (!cel_read_duration(&ns, a[0].s))
        return cel_fail(f, "the text is no duration of at most 292 years, such as 1h30m or 90s");
    out->i = ns;
    return true;
}

#define DURATION_PART(name, expression)                                                            \
    static bool name(struct cel_frame *f, args a, union cel_value *out)                            \
    {                                                                                              \
        (void)f;                                                                                   \
        const int64_t ns = a[0].i;                                                                 \
        out->i = (expression);                                                                     \
        return true;                                                                               \
    }
DURATION_PART(duration_hours, ns / (3600 * CEL_NS))
DURATION_PART(duration_minutes, ns / (60 * CEL_NS))
DURATION_PART(duration_seconds, ns / CEL_NS)
DURATION_PART(duration_milliseconds, ns / 1000000 % 1000)
#undef DURATION_PART

/* --- addresses --- */

#define MAPPED_BITS 96

static bool is_v4(const uint8_t ip[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(ip, mapped, sizeof mapped) == 0;
}

/* No IPv4 in the dress of IPv6: an address has one way to be written. */
static bool read_ip(uint8_t out[16], struct slice s)
{
    const bool is_mixed = s.len && memchr(s.ptr, ':', s.len) && memchr(s.ptr, '.', s.len);
    return !is_mixed && ip_parse(out, s);
}

static bool read_cidr(struct network *out, struct slice s)
{
    const struct slice address = slice_cut(&s, '/');
    uint64_t prefix = 0;
    if (!is_decimal(s) || s.len > 3 || !read_ip(out->address, address))
        return false;
    for (size_t i = 0; i < s.len; i++)
        prefix = prefix * 10 + (uint64_t)(s.ptr[i] - '0');
    const bool is_short = memchr(address.ptr, ':', address.len) == NULL;
    if (prefix > (is_short ? 32 : 128))
        return false;
    out->prefix = (uint8_t)(is_short ? prefix + MAPPED_BITS : prefix);
    return true;
}

static bool ip_of_string(struct cel_frame *f, args a, union cel_value *out)
{
    uint8_t ip[16];
    if (!read_ip(ip, a[0].s))
        return cel_fail(f, "the text is no address, such as 192.0.2.7 or 2001:db8::7");
    memcpy(out->ip, ip, sizeof ip);
    return true;
}

static bool keep_cidr(struct cel_frame *f, const struct network *n, union cel_value *out)
{
    struct network *at = cel_scratch(f, sizeof *at);
    if (!at)
        return false;
    *at = *n;
    out->cidr = at;
    return true;
}

static bool cidr_of_string(struct cel_frame *f, args a, union cel_value *out)
{
    struct network n;
    if (!read_cidr(&n, a[0].s))
        return cel_fail(f, "the text is no network, such as 192.0.2.0/24 or 2001:db8::/32");
    return keep_cidr(f, &n, out);
}

static bool has_bits(const struct network *n, const uint8_t ip[16], unsigned bits)
{
    const unsigned rest = bits % 8;
    return memcmp(n->address, ip, bits / 8) == 0 &&
           (!rest || !((n->address[bits / 8] ^ ip[bits / 8]) >> (8 - rest)));
}

static bool contains(const struct network *n, const uint8_t ip[16])
{
    return is_v4(n->address) == is_v4(ip) && has_bits(n, ip, n->prefix);
}

static bool contains_ip(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    out->b = contains(a[0].cidr, a[1].ip);
    return true;
}

static bool contains_ip_text(struct cel_frame *f, args a, union cel_value *out)
{
    union cel_value ip;
    if (!ip_of_string(f, a + 1, &ip))
        return false;
    out->b = contains(a[0].cidr, ip.ip);
    return true;
}

static bool contains_network(const struct network *n, const struct network *other)
{
    return other->prefix >= n->prefix && contains(n, other->address);
}

static bool contains_cidr(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    out->b = contains_network(a[0].cidr, a[1].cidr);
    return true;
}

static bool contains_cidr_text(struct cel_frame *f, args a, union cel_value *out)
{
    struct network n;
    if (!read_cidr(&n, a[1].s))
        return cel_fail(f, "the text is no network, such as 192.0.2.0/24 or 2001:db8::/32");
    out->b = contains_network(a[0].cidr, &n);
    return true;
}

static bool cidr_ip(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    const struct network *n = a[0].cidr;
    memcpy(out->ip, n->address, sizeof n->address);
    return true;
}

static bool cidr_masked(struct cel_frame *f, args a, union cel_value *out)
{
    struct network n = *a[0].cidr;
    for (unsigned bit = n.prefix; bit < 128; bit++)
        n.address[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
    return keep_cidr(f, &n, out);
}

static bool cidr_prefix_length(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    const struct network *n = a[0].cidr;
    out->i = is_v4(n->address) && n->prefix >= MAPPED_BITS ? n->prefix - MAPPED_BITS : n->prefix;
    return true;
}

static bool ip_family(struct cel_frame *f, args a, union cel_value *out)
{
    (void)f;
    out->i = is_v4(a[0].ip) ? 4 : 6;
    return true;
}

static bool is_in(const uint8_t ip[16], const char *network)
{
    struct network n;
    return read_cidr(&n, slice_of(network)) && contains(&n, ip);
}

#define ASKED(name, expression)                                                                    \
    static bool name(struct cel_frame *f, args a, union cel_value *out)                            \
    {                                                                                              \
        (void)f;                                                                                   \
        const union cel_value ip = a[0];                                                           \
        out->b = (expression);                                                                     \
        return true;                                                                               \
    }
ASKED(is_unspecified, is_in(ip.ip, "0.0.0.0/32") || is_in(ip.ip, "::/128"))
ASKED(is_loopback, is_in(ip.ip, "127.0.0.0/8") || is_in(ip.ip, "::1/128"))
ASKED(is_link_local, is_in(ip.ip, "169.254.0.0/16") || is_in(ip.ip, "fe80::/10"))
ASKED(is_link_local_multicast, is_in(ip.ip, "224.0.0.0/24") || is_in(ip.ip, "ff02::/16"))
ASKED(is_global_unicast, !is_in(ip.ip, "0.0.0.0/32") && !is_in(ip.ip, "::/128") &&
                             !is_in(ip.ip, "127.0.0.0/8") && !is_in(ip.ip, "::1/128") &&
                             !is_in(ip.ip, "169.254.0.0/16") && !is_in(ip.ip, "fe80::/10") &&
                             !is_in(ip.ip, "224.0.0.0/4") && !is_in(ip.ip, "ff00::/8") &&
                             !is_in(ip.ip, "255.255.255.255/32"))
#undef ASKED

/* --- texts of scalars --- */

/* The fewest digits that read back as the same; an exponent from 1e21 on and below 1e-6, as
 * ECMAScript writes numbers. */
size_t cel_print_double(char out[64], double d)
{
    char digits[40];
    if (isnan(d))
        return (size_t)snprintf(out, 64, "NaN");
    if (isinf(d))
        return (size_t)snprintf(out, 64, "%sInfinity", d < 0 ? "-" : "");
    int precision = 0;
    do {
        (void)snprintf(digits, sizeof digits, "%.*e", precision, d);
    } while (strtod(digits, NULL) != d && ++precision < 17);
    const char *e = strchr(digits, 'e');
    const long exponent = strtol(e + 1, NULL, 10);
    if (exponent < -6 || exponent >= 21)
        return (size_t)snprintf(out, 64, "%.*s%s%ld", (int)(e - digits), digits,
                                exponent < 0 ? "e" : "e+", exponent);
    if (exponent <= precision)
        return (size_t)snprintf(out, 64, "%.*f", (int)(precision - exponent), d);
    // Past the digits that count there are zeros, not those of the nearest double.
    size_t len = 0;
    for (const char *c = digits; c < e; c++)
        if (*c != '.')
            out[len++] = *c;
    for (long zeros = exponent - precision; zeros > 0; zeros--)
        out[len++] = '0';
    return len;
}

size_t cel_print_ip(char out[64], const uint8_t ip[16])
{
    return ip_text(out, ip);
}

size_t cel_print_cidr(char out[64], const struct network *n)
{
    const size_t len = cel_print_ip(out, n->address);
    const bool is_short = is_v4(n->address) && n->prefix >= MAPPED_BITS;
    return len + (size_t)snprintf(out + len, 64 - len, "/%d",
                                  is_short ? n->prefix - MAPPED_BITS : n->prefix);
}

/* --- the table --- */

/* What walks over a text, against what looks at one value. */
#define TEXT_COST 16

#define B KIND_BOOL
#define I KIND_INT
#define U KIND_UINT
#define D KIND_DOUBLE
#define S KIND_STRING
#define Y KIND_BYTES
#define T KIND_TIMESTAMP
#define N KIND_DURATION
#define P KIND_IP
#define C KIND_CIDR

// clang-format off
const struct cel_function cel_functions[] = {
    /* name, form, arguments: how many and which, result, reads, makes, cost */
    {"+", CALL_OPERATOR, 2, {I, I}, I, false, false, 1, add_int},
    {"+", CALL_OPERATOR, 2, {U, U}, U, false, false, 1, add_uint},
    {"+", CALL_OPERATOR, 2, {D, D}, D, false, false, 1, add_double},
    {"+", CALL_OPERATOR, 2, {S, S}, S, false, true, TEXT_COST, join},
    {"+", CALL_OPERATOR, 2, {Y, Y}, Y, false, true, TEXT_COST, join},
    {"+", CALL_OPERATOR, 2, {T, N}, T, false, false, 1, add_to_time},
    {"+", CALL_OPERATOR, 2, {N, T}, T, false, false, 1, add_time},
    {"+", CALL_OPERATOR, 2, {N, N}, N, false, false, 1, add_int},
    {"-", CALL_OPERATOR, 2, {I, I}, I, false, false, 1, subtract_int},
    {"-", CALL_OPERATOR, 2, {U, U}, U, false, false, 1, subtract_uint},
    {"-", CALL_OPERATOR, 2, {D, D}, D, false, false, 1, subtract_double},
    {"-", CALL_OPERATOR, 2, {T, T}, N, false, false, 1, subtract_times},
    {"-", CALL_OPERATOR, 2, {T, N}, T, false, false, 1, subtract_from_time},
    {"-", CALL_OPERATOR, 2, {N, N}, N, false, false, 1, subtract_int},
    {"*", CALL_OPERATOR, 2, {I, I}, I, false, false, 1, multiply_int},
    {"*", CALL_OPERATOR, 2, {U, U}, U, false, false, 1, multiply_uint},
    {"*", CALL_OPERATOR, 2, {D, D}, D, false, false, 1, multiply_double},
    {"/", CALL_OPERATOR, 2, {I, I}, I, false, false, 1, divide_int},
    {"/", CALL_OPERATOR, 2, {U, U}, U, false, false, 1, divide_uint},
    {"/", CALL_OPERATOR, 2, {D, D}, D, false, false, 1, divide_double},
    {"%", CALL_OPERATOR, 2, {I, I}, I, false, false, 1, modulo_int},
    {"%", CALL_OPERATOR, 2, {U, U}, U, false, false, 1, modulo_uint},
    {"-", CALL_OPERATOR, 1, {I}, I, false, false, 1, negate_int},
    {"-", CALL_OPERATOR, 1, {D}, D, false, false, 1, negate_double},

    {"int", CALL_FUNCTION, 1, {I}, I, false, false, 1, same},
    {"int", CALL_FUNCTION, 1, {U}, I, false, false, 1, int_of_uint},
    {"int", CALL_FUNCTION, 1, {D}, I, false, false, 1, int_of_double},
    {"int", CALL_FUNCTION, 1, {S}, I, true, false, TEXT_COST, int_of_string},
    {"int", CALL_FUNCTION, 1, {T}, I, false, false, 1, int_of_time},
    {"uint", CALL_FUNCTION, 1, {U}, U, false, false, 1, same},
    {"uint", CALL_FUNCTION, 1, {I}, U, false, false, 1, uint_of_int},
    {"uint", CALL_FUNCTION, 1, {D}, U, false, false, 1, uint_of_double},
    {"uint", CALL_FUNCTION, 1, {S}, U, true, false, TEXT_COST, uint_of_string},
    {"double", CALL_FUNCTION, 1, {D}, D, false, false, 1, same},
    {"double", CALL_FUNCTION, 1, {I}, D, false, false, 1, double_of_int},
    {"double", CALL_FUNCTION, 1, {U}, D, false, false, 1, double_of_uint},
    {"double", CALL_FUNCTION, 1, {S}, D, true, false, TEXT_COST, double_of_string},
    {"bool", CALL_FUNCTION, 1, {B}, B, false, false, 1, same},
    {"bool", CALL_FUNCTION, 1, {S}, B, true, false, 1, bool_of_string},
    {"bytes", CALL_FUNCTION, 1, {Y}, Y, false, false, 1, same},
    {"bytes", CALL_FUNCTION, 1, {S}, Y, false, false, 1, same},
    {"string", CALL_FUNCTION, 1, {S}, S, false, false, 1, same},
    {"string", CALL_FUNCTION, 1, {B}, S, false, false, 1, string_of_bool},
    {"string", CALL_FUNCTION, 1, {I}, S, false, true, TEXT_COST, string_of_int},
    {"string", CALL_FUNCTION, 1, {U}, S, false, true, TEXT_COST, string_of_uint},
    {"string", CALL_FUNCTION, 1, {D}, S, false, true, 10 * TEXT_COST, string_of_double},
    {"string", CALL_FUNCTION, 1, {Y}, S, true, false, TEXT_COST, string_of_bytes},
    {"string", CALL_FUNCTION, 1, {T}, S, false, true, TEXT_COST, string_of_time},
    {"string", CALL_FUNCTION, 1, {N}, S, false, true, TEXT_COST, string_of_duration},
    {"string", CALL_FUNCTION, 1, {P}, S, false, true, TEXT_COST, string_of_ip},
    {"string", CALL_FUNCTION, 1, {C}, S, false, true, TEXT_COST, string_of_cidr},
    {"timestamp", CALL_FUNCTION, 1, {T}, T, false, false, 1, same},
    {"timestamp", CALL_FUNCTION, 1, {S}, T, true, false, TEXT_COST, time_of_string},
    {"timestamp", CALL_FUNCTION, 1, {I}, T, true, false, 1, time_of_int},
    {"duration", CALL_FUNCTION, 1, {N}, N, false, false, 1, same},
    {"duration", CALL_FUNCTION, 1, {S}, N, true, false, TEXT_COST, duration_of_string},
    {"getHours", CALL_METHOD, 1, {N}, I, false, false, 1, duration_hours},
    {"getMinutes", CALL_METHOD, 1, {N}, I, false, false, 1, duration_minutes},
    {"getSeconds", CALL_METHOD, 1, {N}, I, false, false, 1, duration_seconds},
    {"getMilliseconds", CALL_METHOD, 1, {N}, I, false, false, 1, duration_milliseconds},

    {"ip", CALL_FUNCTION, 1, {P}, P, false, false, 1, same},
    {"ip", CALL_FUNCTION, 1, {S}, P, true, false, TEXT_COST, ip_of_string},
    {"ip", CALL_METHOD, 1, {C}, P, false, false, 1, cidr_ip},
    {"cidr", CALL_FUNCTION, 1, {C}, C, false, false, 1, same},
    {"cidr", CALL_FUNCTION, 1, {S}, C, true, true, TEXT_COST, cidr_of_string},
    {"containsIP", CALL_METHOD, 2, {C, P}, B, false, false, 1, contains_ip},
    {"containsIP", CALL_METHOD, 2, {C, S}, B, true, false, TEXT_COST, contains_ip_text},
    {"containsCIDR", CALL_METHOD, 2, {C, C}, B, false, false, 1, contains_cidr},
    {"containsCIDR", CALL_METHOD, 2, {C, S}, B, true, false, TEXT_COST, contains_cidr_text},
    {"masked", CALL_METHOD, 1, {C}, C, false, true, TEXT_COST, cidr_masked},
    {"prefixLength", CALL_METHOD, 1, {C}, I, false, false, 1, cidr_prefix_length},
    {"family", CALL_METHOD, 1, {P}, I, false, false, 1, ip_family},
    {"isUnspecified", CALL_METHOD, 1, {P}, B, false, false, TEXT_COST, is_unspecified},
    {"isLoopback", CALL_METHOD, 1, {P}, B, false, false, TEXT_COST, is_loopback},
    {"isLinkLocalUnicast", CALL_METHOD, 1, {P}, B, false, false, TEXT_COST, is_link_local},
    {"isLinkLocalMulticast", CALL_METHOD, 1, {P}, B, false, false, TEXT_COST, is_link_local_multicast},
    {"isGlobalUnicast", CALL_METHOD, 1, {P}, B, false, false, 4 * TEXT_COST, is_global_unicast},
};
// clang-format on
const size_t cel_function_count = sizeof cel_functions / sizeof *cel_functions;
