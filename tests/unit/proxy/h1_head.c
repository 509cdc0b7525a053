// SPDX-License-Identifier: EUPL-1.2
/* Heads that a smuggler would send, and the limits to the byte. A row fixes the answer, its reason
 * and its words, so that a request is refused for what is wrong with it; every row is also fed byte
 * by byte. */
#include <criterion/criterion.h>

#include "base/buf.h"
#include "tests/fuzz/h1_heads.h"

#define HOST "Host: a.example\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST / HTTP/1.1\r\n" HOST
#define RAW(literal) SLICE_INIT(literal)
#define MALFORMED H1_BAD, REASON_REQUEST_MALFORMED
#define AMBIGUOUS H1_BAD, REASON_REQUEST_AMBIGUOUS
#define VERSION H1_BAD, REASON_VERSION_REFUSED
#define EXPECTATION H1_BAD, REASON_EXPECTATION_REFUSED
#define BROKEN H1_BAD, REASON_UPSTREAM_BROKEN

#define NO_CR "a line ends without CR"
#define IN_FRONT "an empty line in front"
#define NO_METHOD "the method is no token"
#define NO_TARGET "the target holds a byte that no target has"
#define OTHER_FORM "the request line has another form"
#define NOT_1_1 "the version is not HTTP/1.1"
#define FOLDED "a folded line"
#define NO_COLON "a field without a colon"
#define NO_NAME "a field's name is no token"
#define CONTROL "a field's value holds a control character"
#define NO_HOST "no Host"
#define OTHER_HOST "the target names another host than Host does"
#define TWO_HOSTS "more than one Host"
#define TE_AND_CL "Transfer-Encoding beside Content-Length"
#define ODD_TE "a Transfer-Encoding other than one chunked"
#define TWO_LENGTHS "more than one Content-Length"
#define NO_LENGTH "a Content-Length that is no number"
#define ODD_EXPECT "an expectation other than 100-continue"

struct row {
    struct slice raw;
    enum h1_progress progress;
    enum reason why;    /* with H1_BAD */
    const char *detail; /* with H1_BAD */
};

// clang-format off
static const struct row requests[] = {
    /* Line ends. */
    {RAW("\r\n" GET "\r\n"), MALFORMED, IN_FRONT},
    {RAW("\r\n\r\n" GET "\r\n"), MALFORMED, IN_FRONT},
    {RAW("\n" GET "\r\n"), MALFORMED, NO_CR},
    {RAW("\n\r\n"), MALFORMED, NO_CR},
    {RAW("\r\r\n" GET "\r\n"), MALFORMED, NO_METHOD},
    {RAW("GET / HTTP/1.1\n" HOST "\r\n"), MALFORMED, NO_CR},
    {RAW("GET / HTTP/1.1\r\nHost: a.example\n\r\n"), MALFORMED, NO_CR},
    {RAW(GET "\n"), MALFORMED, NO_CR},
    {RAW(GET "\n\n"), MALFORMED, NO_CR},
    {RAW(GET "A: b\nC: d\r\n\r\n"), MALFORMED, NO_CR},
    {RAW(GET "A: b\n\nGET /admin HTTP/1.1\r\n\r\n"), MALFORMED, NO_CR},
    {RAW(GET "A: b\rC: d\r\n\r\n"), MALFORMED, CONTROL},
    {RAW(GET "A: b\r\r\n\r\n"), MALFORMED, CONTROL},
    {RAW(GET "A: b\r\rGET /admin HTTP/1.1\r\n\r\n"), MALFORMED, CONTROL},
    {RAW(GET "\r\r\n\r\n"), MALFORMED, NO_COLON},
    {RAW(GET "\rA: b\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW("GET / HTTP/1.1\r" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/1.1\r\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    /* The request line. */
    {RAW("GET /\r\n\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET\r\n\r\n"), MALFORMED, NO_TARGET},
    {RAW(" GET / HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_METHOD},
    {RAW("\tGET / HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_METHOD},
    {RAW("\0GET / HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_METHOD},
    {RAW("G\0ET / HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_METHOD},
    {RAW("GET: / HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_METHOD},
    {RAW("GET\xc2\xa0/ HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_METHOD},
    {RAW("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_METHOD},
    {RAW("GET\v/ HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_METHOD},
    {RAW("\xef\xbb\xbfGET / HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_METHOD},
    {RAW("ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567 / HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_METHOD},
    {RAW("GET  / HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_TARGET},
    {RAW("GET /  HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/1.1 \r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/1.1\t\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET /a b HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/1.1 HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET /\tHTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_TARGET},
    {RAW("GET /a\tb HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_TARGET},
    {RAW("GET /a\0b HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_TARGET},
    {RAW("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_TARGET},
    {RAW("GET /\"a\" HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_TARGET},
    {RAW("GET /<a> HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_TARGET},
    {RAW("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_TARGET},
    {RAW("GET /a\x7f HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_TARGET},
    {RAW("GET /a\r HTTP/1.1\r\n" HOST "\r\n"), MALFORMED, NO_TARGET},
    /* Versions. */
    {RAW("GET / HTTP/1.0\r\n" HOST "\r\n"), VERSION, NOT_1_1},
    {RAW("GET / HTTP/1.2\r\n" HOST "\r\n"), VERSION, NOT_1_1},
    {RAW("GET / HTTP/0.9\r\n" HOST "\r\n"), VERSION, NOT_1_1},
    {RAW("GET / HTTP/2.0\r\n" HOST "\r\n"), VERSION, NOT_1_1},
    {RAW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), VERSION, NOT_1_1},
    {RAW("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"), VERSION, NOT_1_1},
    {RAW("GET / http/1.1\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/1\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/1.\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/1.10\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/01.1\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/1,1\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/ 1.1\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTPS/1.1\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / ICY/1.1\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    {RAW("GET / HTTP/1.1\0\r\n" HOST "\r\n"), MALFORMED, OTHER_FORM},
    /* Field lines. */
    {RAW("GET / HTTP/1.1\r\n " HOST "\r\n"), MALFORMED, FOLDED},
    {RAW("GET / HTTP/1.1\r\n\t" HOST "\r\n"), MALFORMED, FOLDED},
    {RAW(GET "A: b\r\n c\r\n\r\n"), MALFORMED, FOLDED},
    {RAW(GET "A: b\r\n\tc: d\r\n\r\n"), MALFORMED, FOLDED},
    {RAW(GET " \r\n\r\n"), MALFORMED, FOLDED},
    {RAW(POST "Transfer-Encoding:\r\n chunked\r\n\r\n"), MALFORMED, FOLDED},
    {RAW(POST "Content-Length: 4\r\n 2\r\n\r\n"), MALFORMED, FOLDED},
    {RAW(GET "A\r\n\r\n"), MALFORMED, NO_COLON},
    {RAW(GET "GET /admin HTTP/1.1\r\n\r\n"), MALFORMED, NO_COLON},
    {RAW(GET ": b\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(GET "A : b\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(GET "A\t: b\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(GET "A B: c\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(GET "A\0: b\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(GET "A\v: b\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(GET "A\x80: b\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(GET "A(b): c\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(GET "A/b: c\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(GET "\"A\": b\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(GET "A: b\0c\r\n\r\n"), MALFORMED, CONTROL},
    {RAW(GET "A: \0\r\n\r\n"), MALFORMED, CONTROL},
    {RAW(GET "A: b\x7f\r\n\r\n"), MALFORMED, CONTROL},
    {RAW(GET "A: b\x1b[2J\r\n\r\n"), MALFORMED, CONTROL},
    {RAW(GET "A: b\fc\r\n\r\n"), MALFORMED, CONTROL},
    /* Host. */
    {RAW("GET / HTTP/1.1\r\n\r\n"), MALFORMED, NO_HOST},
    {RAW("GET / HTTP/1.1\r\nX-Host: a.example\r\n\r\n"), MALFORMED, NO_HOST},
    {RAW("GET http://a.example/ HTTP/1.1\r\n\r\n"), MALFORMED, NO_HOST},
    {RAW("GET https://b.example/ HTTP/1.1\r\n" HOST "\r\n"), AMBIGUOUS, OTHER_HOST},
    {RAW("GET https://a.example HTTP/1.1\r\n" HOST "\r\n"), AMBIGUOUS, OTHER_HOST},
    {RAW("GET / HTTP/1.1\r\nHost : a.example\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), MALFORMED, TWO_HOSTS},
    {RAW("GET / HTTP/1.1\r\n" HOST "hOST: b.example\r\n\r\n"), MALFORMED, TWO_HOSTS},
    {RAW("GET / HTTP/1.1\r\n" HOST "Host:\r\n\r\n"), MALFORMED, TWO_HOSTS},
    /* Where does the body end? */
    {RAW(POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"), AMBIGUOUS, TE_AND_CL},
    {RAW(POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"), AMBIGUOUS, TE_AND_CL},
    {RAW(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"), AMBIGUOUS, TE_AND_CL},
    {RAW(POST "Transfer-Encoding: x\r\nContent-Length: x\r\n\r\n"), AMBIGUOUS, TE_AND_CL},
    {RAW(POST "transfer-encoding:chunked\r\ncontent-length:4\r\n\r\n"), AMBIGUOUS, TE_AND_CL},
    {RAW(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: gzip\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: chunked, identity\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: chunked,\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: ,chunked\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: chunked;q=1\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: xchunked\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: chunkedx\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: chunked\xa0\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: \xe2\x84\xaahunked\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding:\r\n\r\n"), AMBIGUOUS, ODD_TE},
    {RAW(POST "Transfer-Encoding: \vchunked\r\n\r\n"), MALFORMED, CONTROL},
    {RAW(POST "Transfer-Encoding: chunked\r\r\n\r\n"), MALFORMED, CONTROL},
    {RAW(POST "Transfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n"), MALFORMED, NO_NAME},
    {RAW(POST "X: y\nTransfer-Encoding: chunked\r\n\r\n"), MALFORMED, NO_CR},
    {RAW(POST "Content-Length: 4\r\nContent-Length: 4\r\n\r\n"), AMBIGUOUS, TWO_LENGTHS},
    {RAW(POST "Content-Length: 4\r\nContent-Length: 5\r\n\r\n"), AMBIGUOUS, TWO_LENGTHS},
    {RAW(POST "Content-Length: 4\r\ncontent-length:\r\n\r\n"), AMBIGUOUS, TWO_LENGTHS},
    {RAW(POST "Content-Length: 4, 4\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 4,5\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: +4\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: -4\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 0x4\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 4 2\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 4.0\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 1e1\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 4_2\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: \"4\"\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 4\xa0\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: \xd9\xa4\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length:\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 9223372036854775808\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 18446744073709551620\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 00000000000000000004\r\n\r\n"), MALFORMED, NO_LENGTH},
    {RAW(POST "Content-Length: 4\v\r\n\r\n"), MALFORMED, CONTROL},
    /* Expectations. */
    {RAW(POST "Expect: 200-ok\r\n\r\n"), EXPECTATION, ODD_EXPECT},
    {RAW(POST "Expect:\r\n\r\n"), EXPECTATION, ODD_EXPECT},
    {RAW(POST "Expect: 100-continue, x\r\n\r\n"), EXPECTATION, ODD_EXPECT},
    {RAW(POST "Expect: x\r\nExpect: 100-continue\r\n\r\n"), EXPECTATION, ODD_EXPECT},
    /* Not yet whole, and nothing wrong that shows. */
    {RAW(""), H1_MORE, 0, NULL},
    {RAW("\r"), H1_MORE, 0, NULL},
    {RAW("GET / HTTP/1.1"), H1_MORE, 0, NULL},
    {RAW(GET), H1_MORE, 0, NULL},
    {RAW(GET "\r"), H1_MORE, 0, NULL},
    {RAW("GET / HTTP/1.0\r\n"), H1_MORE, 0, NULL},
    /* Good, to its last byte. */
    {RAW(GET "\r\n"), H1_DONE, 0, NULL},
    {RAW("GET / HTTP/1.1\r\nhost:a.example\r\n\r\n"), H1_DONE, 0, NULL},
    {RAW("GET / HTTP/1.1\r\nHOST: \t a.example\t \r\n\r\n"), H1_DONE, 0, NULL},
    {RAW("GET / HTTP/1.1\r\nHost:\r\n\r\n"), H1_DONE, 0, NULL}, /* the route phase knows hosts */
    {RAW(GET "!#$%&'*+-.^_`|~09az: \"\xc3\xa9\"\r\n\r\n"), H1_DONE, 0, NULL},
    {RAW(GET "A:\r\nB:b\r\nA: :\r\n\r\n"), H1_DONE, 0, NULL},
    {RAW("M-SEARCH!#$%&'*+.^_`|~0123456789 /?a=[b]&c={d}|\\^` HTTP/1.1\r\n" HOST "\r\n"), H1_DONE, 0, NULL},
    {RAW(POST "Transfer-Encoding: \tcHUNKED \r\n\r\n0\r\n\r\n"), H1_DONE, 0, NULL},
    {RAW(POST "Content-Length: 9223372036854775807\r\n\r\n"), H1_DONE, 0, NULL},
    {RAW(POST "Content-Length: 0004\r\nExpect: 100-Continue\r\n\r\nbody"), H1_DONE, 0, NULL},
    {RAW(GET "Connection: x, ,\tCLOSE\r\n\r\n"), H1_DONE, 0, NULL},
};

#define OK "HTTP/1.1 200 OK\r\n"
#define LINE "the status line is malformed"
#define FRAMING "ambiguous framing"
#define LENGTHS "ambiguous Content-Length"
#define NO_BODY_HERE "a body where none may be"

static const struct row responses[] = {
    {RAW("\r\n" OK "\r\n"), BROKEN, IN_FRONT},
    {RAW("HTTP/1.1 200 OK\n\r\n"), BROKEN, NO_CR},
    {RAW(OK "A: b\n\r\n"), BROKEN, NO_CR},
    {RAW(OK "\n"), BROKEN, NO_CR},
    {RAW("HTTP/1.1\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.1 \r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.1  200 OK\r\n\r\n"), BROKEN, LINE},
    {RAW(" HTTP/1.1 200 OK\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.1 20 OK\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.1 2000 OK\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.1 099 OK\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.1 +20 OK\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.1 2x0 OK\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.1 200\tOK\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.1 200 O\0K\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.1 200 OK\r\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/1.2 200 OK\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/2 200\r\n\r\n"), BROKEN, LINE},
    {RAW("HTTP/2.0 200 OK\r\n\r\n"), BROKEN, LINE},
    {RAW("http/1.1 200 OK\r\n\r\n"), BROKEN, LINE},
    {RAW("ICY 200 OK\r\n\r\n"), BROKEN, LINE},
    {RAW("<html>\r\n\r\n"), BROKEN, LINE},
    {RAW(OK "A: b\r\n c\r\n\r\n"), BROKEN, FOLDED},
    {RAW(OK "A\r\n\r\n"), BROKEN, NO_COLON},
    {RAW(OK "A : b\r\n\r\n"), BROKEN, NO_NAME},
    {RAW(OK "A: b\0\r\n\r\n"), BROKEN, CONTROL},
    {RAW(OK "A: b\rB: c\r\n\r\n"), BROKEN, CONTROL},
    {RAW(OK "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"), BROKEN, FRAMING},
    {RAW(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), BROKEN, FRAMING},
    {RAW(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), BROKEN, FRAMING},
    {RAW(OK "Transfer-Encoding: identity\r\n\r\n"), BROKEN, FRAMING},
    {RAW(OK "Transfer-Encoding:\r\n\r\n"), BROKEN, FRAMING},
    {RAW(OK "Content-Length: 4\r\nContent-Length: 4\r\n\r\n"), BROKEN, LENGTHS},
    {RAW(OK "Content-Length: 4, 4\r\n\r\n"), BROKEN, LENGTHS},
    {RAW(OK "Content-Length: -1\r\n\r\n"), BROKEN, LENGTHS},
    {RAW(OK "Content-Length: 9223372036854775808\r\n\r\n"), BROKEN, LENGTHS},
    {RAW("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), BROKEN, "Transfer-Encoding in HTTP/1.0"},
    {RAW("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"), BROKEN,
     "Transfer-Encoding in HTTP/1.0"},
    {RAW("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"), BROKEN, NO_BODY_HERE},
    {RAW("HTTP/1.1 204 No Content\r\nContent-Length: 44\r\n\r\n"), BROKEN, NO_BODY_HERE},
    {RAW("HTTP/1.1 100 Continue\r\nContent-Length: 44\r\n\r\n"), BROKEN, NO_BODY_HERE},
    {RAW("HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n"), BROKEN, NO_BODY_HERE},
    {RAW(""), H1_MORE, 0, NULL},
    {RAW("HTTP/1.1 200 OK\r\n"), H1_MORE, 0, NULL},
    {RAW(OK "\r"), H1_MORE, 0, NULL},
    {RAW("HTTP/1.1 200\r\n\r\n"), H1_DONE, 0, NULL},
    {RAW("HTTP/1.1 200 \r\n\r\n"), H1_DONE, 0, NULL},
    {RAW("HTTP/1.1 999 \xc3\xa9\t!\r\n\r\n"), H1_DONE, 0, NULL},
    {RAW(OK "Content-Length: 2\r\n\r\nok"), H1_DONE, 0, NULL},
    {RAW("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), H1_DONE, 0, NULL},
};
// clang-format on

static void check_row(enum h1_kind kind, const struct row *row, size_t at)
{
    struct heads_read once, stepped;
    heads_read(&once, kind, row->raw);
    cr_expect_eq(once.progress, row->progress, "row %zu: progress %d", at, once.progress);
    if (row->progress == H1_BAD && once.progress == H1_BAD) {
        cr_expect_eq(once.head.why, row->why, "row %zu: reason %d", at, once.head.why);
        cr_expect_str_eq(once.head.detail, row->detail, "row %zu", at);
    }
    cr_expect(heads_read_in_steps(&stepped, kind, row->raw, 1), "row %zu was changed", at);
    cr_expect(heads_are_same(&once, &stepped), "row %zu differs when it comes byte by byte", at);
    if (once.progress == H1_BAD && stepped.progress == H1_BAD)
        cr_expect_str_eq(once.head.detail, stepped.head.detail, "row %zu", at);
    if (once.progress == H1_DONE)
        cr_expect_eq(once.head.bytes, stepped.head.bytes, "row %zu", at);
    heads_done(&once);
    heads_done(&stepped);
}

Test(h1_head, a_request_with_two_readings_is_refused_for_what_is_wrong_with_it)
{
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        check_row(H1_KIND_REQUEST, &requests[i], i);
}

/* Values are looked at eight bytes at a time. */
Test(h1_head, a_control_character_is_found_wherever_it_stands_in_a_value)
{
    static struct h1_head head;
    for (unsigned byte = 0; byte < 256; byte++) {
        const bool is_good = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
        for (size_t at = 0; at < 18 && byte != '\n'; at++) {
            char raw[] = GET "A: b~ \x80\xff b~ \x80\xff b~ \x80\xff b\r\n\r\n";
            struct h1_scan scan = {0};
            raw[sizeof GET "A: b" - 1 + at] = (char)byte;
            const enum h1_progress got = h1_request_parse(&head, &scan, raw, sizeof raw - 1);
            cr_assert_eq(got, is_good ? H1_DONE : H1_BAD, "byte %u at %zu", byte, at);
            cr_assert(is_good || slice_eq(slice_of(head.detail), SLICE(CONTROL)));
        }
    }
}

Test(h1_head, a_response_with_two_readings_is_broken)
{
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++) {
        check_row(H1_KIND_RESPONSE, &responses[i], i);
        check_row(H1_KIND_RESPONSE_TO_HEAD, &responses[i], i);
    }
}

static const struct {
    struct slice raw;
    bool to_head;
    enum h1_framing framing;
    uint64_t length;
    bool wants_close;
} framings[] = {
    {RAW(OK "\r\n"), false, H1_UNTIL_CLOSE, 0, true},
    {RAW(OK "\r\n"), true, H1_NO_BODY, 0, false},
    {RAW(OK "Content-Length: 0\r\n\r\n"), false, H1_NO_BODY, 0, false},
    {RAW(OK "Content-Length: 7\r\n\r\n"), false, H1_LENGTH, 7, false},
    {RAW(OK "Content-Length: 7\r\n\r\n"), true, H1_NO_BODY, 7, false},
    {RAW(OK "Transfer-Encoding: chunked\r\n\r\n"), false, H1_CHUNKED, 0, false},
    {RAW(OK "Transfer-Encoding: chunked\r\n\r\n"), true, H1_NO_BODY, 0, false},
    {RAW("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"), false, H1_NO_BODY, 7, false},
    {RAW("HTTP/1.1 204 No Content\r\n\r\n"), false, H1_NO_BODY, 0, false},
    {RAW("HTTP/1.1 100 Continue\r\n\r\n" OK), false, H1_NO_BODY, 0, false},
    {RAW("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), false, H1_NO_BODY, 0, false},
    {RAW(OK "Connection: close\r\nContent-Length: 7\r\n\r\n"), false, H1_LENGTH, 7, true},
    {RAW(OK "Connection: close,a\r\nContent-Length: 7\r\n\r\n"), false, H1_LENGTH, 7, true},
    {RAW(OK "Connection: a,close\r\nContent-Length: 7\r\n\r\n"), false, H1_LENGTH, 7, true},
    {RAW("HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n"), false, H1_LENGTH, 7, true},
    {RAW("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 7\r\n\r\n"), false,
     H1_LENGTH, 7, false},
    {RAW("HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 7\r\n\r\n"), false,
     H1_LENGTH, 7, true},
    {RAW("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"), false, H1_UNTIL_CLOSE, 0, true},
};

Test(h1_head, a_response_ends_where_rfc_9112_6_3_says)
{
    for (size_t i = 0; i < sizeof framings / sizeof *framings; i++) {
        struct heads_read r;
        heads_read(&r, framings[i].to_head ? H1_KIND_RESPONSE_TO_HEAD : H1_KIND_RESPONSE,
                   framings[i].raw);
        cr_expect_eq(r.progress, H1_DONE, "row %zu", i);
        cr_expect_eq(r.head.framing, framings[i].framing, "row %zu", i);
        cr_expect_eq(r.head.length, framings[i].length, "row %zu", i);
        cr_expect_eq(r.head.wants_close, framings[i].wants_close, "row %zu", i);
        heads_done(&r);
    }
}

Test(h1_head, a_request_is_read_into_its_parts)
{
    struct heads_read r;
    heads_read(&r, H1_KIND_REQUEST,
               SLICE("PATCH /a?b HTTP/1.1\r\nHost: A.example:8443\r\nX-Empty:\r\nCONTENT-Length: 12"
                     "\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nX: y\r\n\r\n"));
    cr_assert_eq(r.progress, H1_DONE);
    cr_expect(slice_eq(r.head.method, SLICE("PATCH")));
    cr_expect(slice_eq(r.head.target, SLICE("/a?b")));
    cr_expect(slice_eq(r.head.host, SLICE("A.example:8443")));
    cr_assert_eq(r.head.field_count, 5);
    cr_expect(slice_eq(r.head.fields[1].name, SLICE("x-empty")) && r.head.fields[1].value.len == 0);
    cr_expect(slice_eq(r.head.fields[2].name, SLICE("content-length")));
    cr_expect(r.head.expects_continue && r.head.wants_close);
    cr_expect_eq(r.head.framing, H1_LENGTH);
    cr_expect_eq(r.head.length, 12);
    heads_done(&r);
}

Test(h1_head, the_second_of_two_pipelined_requests_is_not_touched)
{
    static const char second[] = "POST /TWO HTTP/1.1\r\nHOST: B\r\nTransfer-Encoding: chunked\n";
    char bytes[] = GET "\r\nPOST /TWO HTTP/1.1\r\nHOST: B\r\nTransfer-Encoding: chunked\n";
    struct h1_scan scan = {0};
    struct h1_head head;
    cr_assert_eq(h1_request_parse(&head, &scan, bytes, sizeof bytes - 1), H1_DONE);
    cr_assert_eq(head.bytes, sizeof GET "\r\n" - 1);
    cr_expect_str_eq(bytes + head.bytes, second);
    cr_expect_eq(head.framing, H1_NO_BODY, "the second one's framing is not the first one's");
}

Test(h1_head, nothing_of_the_head_before_stays)
{
    char full[] = POST "Expect: 100-continue\r\nConnection: close\r\nContent-Length: 9\r\n\r\n";
    char answer[] = "HTTP/1.0 404 x\r\nHost: b\r\nContent-Length: 8\r\n\r\n";
    char bare[] = GET "\r\n";
    char hostless[] = "GET / HTTP/1.1\r\n\r\n";
    struct h1_head head;
    cr_assert_eq(h1_request_parse(&head, &(struct h1_scan){0}, full, sizeof full - 1), H1_DONE);
    cr_assert_eq(h1_response_parse(&head, &(struct h1_scan){0}, answer, sizeof answer - 1, false),
                 H1_DONE);
    cr_expect(!head.method.len && !head.target.len && !head.expects_continue);
    cr_assert_eq(h1_request_parse(&head, &(struct h1_scan){0}, bare, sizeof bare - 1), H1_DONE);
    cr_expect(!head.expects_continue && !head.wants_close && !head.is_http10 && !head.status);
    cr_expect(head.length == 0 && head.framing == H1_NO_BODY && head.field_count == 1);
    cr_assert_eq(h1_request_parse(&head, &(struct h1_scan){0}, hostless, sizeof hostless - 1),
                 H1_BAD);
    cr_expect_eq(head.host.len, 0);
}

/* "METHOD /aaa… HTTP/1.1", Host, `fields` times "f:", then one field of `last` bytes in all. */
static struct slice long_request(struct buf *b, const char *method, size_t target, size_t fields,
                                 size_t last)
{
    buf_init(b, 1u << 20);
    cr_assert(buf_printf(b, "%s /", method));
    for (size_t i = 1; i < target; i++)
        cr_assert(buf_add(b, SLICE("a")));
    cr_assert(buf_add(b, SLICE(" HTTP/1.1\r\n" HOST)));
    for (size_t i = 0; i < fields; i++)
        cr_assert(buf_add(b, SLICE("f:\r\n")));
    if (last) {
        cr_assert(buf_add(b, SLICE("l:")));
        for (size_t i = 4; i < last; i++)
            cr_assert(buf_add(b, SLICE("v")));
        cr_assert(buf_add(b, SLICE("\r\n")));
    }
    cr_assert(buf_add(b, SLICE("\r\n")));
    return buf_slice(b);
}

#define METHOD_32 "ABCDEFGHIJKLMNOPQRSTUVWXYZ123456"
#define METHOD_33 METHOD_32 "7"
#define METHOD_32_BYTES (sizeof METHOD_32 - 1)
/* What long_request adds to `last` with "GET" and a target of one byte. */
#define LAST_OF(total) ((total) - (sizeof GET "\r\n" - 1))

static const struct {
    const char *method;
    size_t target, fields, last;
    enum h1_progress progress;
    enum reason why;
} limits[] = {
    {"GET", H1_TARGET_MAX_BYTES, 0, 0, H1_DONE, 0},
    {"GET", H1_TARGET_MAX_BYTES + 1, 0, 0, H1_BAD, REASON_URI_TOO_LONG},
    {METHOD_32, H1_TARGET_MAX_BYTES, 0, 0, H1_DONE, 0},
    {METHOD_32, H1_TARGET_MAX_BYTES + 1, 0, 0, H1_BAD, REASON_URI_TOO_LONG},
    {METHOD_33, H1_TARGET_MAX_BYTES - 1, 0, 0, H1_BAD, REASON_REQUEST_MALFORMED},
    {METHOD_33, H1_TARGET_MAX_BYTES + 64, 0, 0, H1_BAD, REASON_URI_TOO_LONG},
    {"G(T", H1_TARGET_MAX_BYTES * 2, 0, 0, H1_BAD, REASON_URI_TOO_LONG},
    {"GET", H1_HEAD_MAX_BYTES * 2, 0, 0, H1_BAD, REASON_URI_TOO_LONG},
    {"GET", 1, 0, LAST_OF(H1_HEAD_MAX_BYTES), H1_DONE, 0},
    {"GET", 1, 0, LAST_OF(H1_HEAD_MAX_BYTES + 1), H1_BAD, REASON_HEADERS_TOO_LARGE},
    {"GET", 1, 0, LAST_OF(H1_HEAD_MAX_BYTES * 2), H1_BAD, REASON_HEADERS_TOO_LARGE},
    {"GET", 1, H1_MAX_FIELDS - 1, 0, H1_DONE, 0}, /* Host is the first */
    {"GET", 1, H1_MAX_FIELDS, 0, H1_BAD, REASON_HEADERS_TOO_LARGE},
    {"GET", 1, 65000, 0, H1_BAD, REASON_HEADERS_TOO_LARGE},
};

Test(h1_head, limits_hold_to_the_byte_however_the_request_comes)
{
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        static const size_t steps[] = {1021, 16384, 65535, 65536};
        struct buf b;
        struct heads_read once, stepped;
        struct slice in =
            long_request(&b, limits[i].method, limits[i].target, limits[i].fields, limits[i].last);
        heads_read(&once, H1_KIND_REQUEST, in);
        cr_expect_eq(once.progress, limits[i].progress, "row %zu: %d", i, once.progress);
        if (limits[i].progress == H1_BAD)
            cr_expect_eq(once.head.why, limits[i].why, "row %zu: reason %d", i, once.head.why);
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            cr_expect(heads_read_in_steps(&stepped, H1_KIND_REQUEST, in, steps[s]));
            cr_expect(heads_are_same(&once, &stepped), "row %zu, steps of %zu", i, steps[s]);
            heads_done(&stepped);
        }
        heads_done(&once);
        buf_fini(&b);
    }
}

/* The first `len` bytes of a request that is too large in that way. */
static enum h1_progress first_of(struct slice in, size_t len, enum reason *why)
{
    struct heads_read r;
    enum h1_progress progress;
    heads_read(&r, H1_KIND_REQUEST, slice_from(in.ptr, len));
    progress = r.progress;
    *why = r.head.why;
    heads_done(&r);
    return progress;
}

Test(h1_head, what_can_no_longer_become_good_is_not_waited_for)
{
    static const size_t longest_line = METHOD_32_BYTES + H1_TARGET_MAX_BYTES + 12;
    enum reason why;
    struct buf b;
    struct slice in = long_request(&b, "GET", 1, 0, H1_HEAD_MAX_BYTES);
    cr_expect_eq(first_of(in, H1_HEAD_MAX_BYTES - 1, &why), H1_MORE);
    cr_expect_eq(first_of(in, H1_HEAD_MAX_BYTES, &why), H1_BAD);
    cr_expect_eq(why, REASON_HEADERS_TOO_LARGE);
    buf_fini(&b);
    in = long_request(&b, "GET", H1_TARGET_MAX_BYTES * 2, 0, 0);
    cr_expect_eq(first_of(in, longest_line, &why), H1_MORE);
    cr_expect_eq(first_of(in, longest_line + 1, &why), H1_BAD);
    cr_expect_eq(why, REASON_URI_TOO_LONG);
    buf_fini(&b);
}

Test(h1_head, a_response_has_the_same_limits_and_is_broken_beyond_them)
{
    for (size_t over = 0; over < 2; over++) {
        struct buf b;
        struct heads_read r;
        buf_init(&b, 1u << 20);
        cr_assert(buf_add(&b, SLICE(OK "f:")));
        while (buf_len(&b) < H1_HEAD_MAX_BYTES + over - 4)
            cr_assert(buf_add(&b, SLICE("v")));
        cr_assert(buf_add(&b, SLICE("\r\n\r\n")));
        heads_read(&r, H1_KIND_RESPONSE, buf_slice(&b));
        cr_expect_eq(r.progress, over ? H1_BAD : H1_DONE);
        cr_expect(!over || r.head.why == REASON_UPSTREAM_BROKEN);
        heads_done(&r);
        buf_fini(&b);
    }
}

/* A client that sends byte by byte must not make us look at the same bytes again and again; and
 * whoever waits for a head's first byte sees by the scan that it has come. */
Test(h1_head, what_has_been_searched_is_not_searched_again)
{
    char bytes[] = "GET /aaaaaaaaaaaaaaaaaaaaaaaaa";
    struct h1_scan scan = {0};
    struct h1_head head;
    for (size_t len = 1; len < sizeof bytes; len++) {
        cr_assert_eq(h1_request_parse(&head, &scan, bytes, len), H1_MORE);
        cr_assert_eq(scan.seen, len);
    }
}

Test(h1_head, a_list_gives_its_elements_without_the_empty_ones)
{
    struct slice rest = SLICE(",a , ,\t,b\t,,");
    struct slice item;
    cr_assert(list_next(&rest, &item) && slice_eq(item, SLICE("a")));
    cr_assert(list_next(&rest, &item) && slice_eq(item, SLICE("b")));
    cr_assert_not(list_next(&rest, &item));
}
