# SPDX-License-Identifier: EUPL-1.2
"""What a smuggler sends, and what may come of it. "@HOST@" stands for the application's host.

Over HTTP/1.1, rows of (name, bytes, status, problem):
ENDING      where the message ends is no longer certain, so the connection ends with the answer
STAYING     the end is certain, only the request is refused, and the next one on the connection is answered
UNFINISHED  the client ends in the middle ("close": there is nothing to answer)
and of (name, bytes, requests):
TAKEN       odd, but with one reading: exactly these requests arrive, each (method, target, fields, body)

Over HTTP/2, rows of (name, fields, pieces of the body or None, outcome):
H2_REFUSED  ("reset", code) or (status, problem); nothing arrives
H2_TAKEN    exactly that request arrives

From an application, rows of (name, method, bytes, outcome):
ANSWERS     "broken" (502), "spoiled" (502; or begun, and never ended as if it were whole), or (status, body)"""

from h2_raw import PROTOCOL_ERROR

HOST = b"Host: @HOST@\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"

MALFORMED = (400, "request_malformed")
AMBIGUOUS = (400, "request_ambiguous")
VERSION = (505, "version_refused")
TOO_LONG = (414, "uri_too_long")
TOO_LARGE = (431, "headers_too_large")
EXPECTATION = (417, "expectation_refused")


def head(name, more, expected):
    return (name, GET + more + b"\r\n", *expected)


def post(name, more, expected, body=b""):
    return (name, POST + more + b"\r\n" + body, *expected)


def body(name, coded):
    return ("chunked: " + name, CHUNKED + coded, *MALFORMED)


ENDING = [
    # Line ends.
    ("an empty line in front", b"\r\n" + GET + b"\r\n", *MALFORMED),
    ("a bare LF in front", b"\n" + GET + b"\r\n", *MALFORMED),
    ("a bare LF ends the request line", b"GET / HTTP/1.1\n" + HOST + b"\r\n", *MALFORMED),
    head("a bare LF ends a field", b"A: b\nC: d\r\n", MALFORMED),
    ("a bare LF ends the head", GET + b"\n", *MALFORMED),
    head("two bare LF inside", b"A: b\n\n" + SMUGGLED, MALFORMED),
    head("a bare CR inside a value", b"A: b\rC: d\r\n", MALFORMED),
    head("two bare CR inside a value", b"A: b\r\rC: d\r\n", MALFORMED),
    head("CR CR LF behind a value", b"A: b\r\r\n", MALFORMED),
    ("CR CR LF behind the request line", b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n", *MALFORMED),
    # The request line.
    ("no version", b"GET /\r\n\r\n", *MALFORMED),
    ("no target", b"GET HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a space in front", b" " + GET + b"\r\n", *MALFORMED),
    ("a NUL in front", b"\0" + GET + b"\r\n", *MALFORMED),
    ("two spaces behind the method", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("two spaces behind the target", b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a space behind the version", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", *MALFORMED),
    ("a tab for a space", b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a space in the target", b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("two versions", b"GET / HTTP/1.1 HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a fragment", b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a raw byte in the target", b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a NUL in the target", b"GET /a\0b HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a method that is no token", b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("an endless target", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", *TOO_LONG),
    ("a target one byte too long", b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\n" + HOST + b"\r\n", *TOO_LONG),
    ("the absolute form of another host", b"GET https://b.example/ HTTP/1.1\r\n" + HOST + b"\r\n", *AMBIGUOUS),
    ("the absolute form without a path", b"GET https://@HOST@ HTTP/1.1\r\n" + HOST + b"\r\n", *AMBIGUOUS),
    # Versions.
    ("HTTP/1.0", b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", *VERSION),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", *VERSION),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", *VERSION),
    ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", *VERSION),
    ("a version in lower case", b"GET / http/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a version of one number", b"GET / HTTP/1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\n" + HOST + b"\r\n", *MALFORMED),
    ("HTTP/0.9 by its name", b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", *VERSION),
    ("HTTP/3.0", b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", *VERSION),
    ("HTTP/01.1", b"GET / HTTP/01.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("HTTP/1.1.1", b"GET / HTTP/1.1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("HTTP/+1.1", b"GET / HTTP/+1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("HTTP/1,1", b"GET / HTTP/1,1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("HTTP/ 1.1", b"GET / HTTP/ 1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("HTTPS/1.1", b"GET / HTTPS/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("HTTP/1.1 with a NUL behind", b"GET / HTTP/1.1\0\r\n" + HOST + b"\r\n", *MALFORMED),
    ("HTTP/1.1 with a tab behind", b"GET / HTTP/1.1\t\r\n" + HOST + b"\r\n", *MALFORMED),
    # Fields.
    ("a folded first line", b"GET / HTTP/1.1\r\n " + HOST + b"\r\n", *MALFORMED),
    head("a folded line", b"A: b\r\n c\r\n", MALFORMED),
    head("a line folded with a tab", b"A: b\r\n\tc\r\n", MALFORMED),
    head("no colon", b"A\r\n", MALFORMED),
    head("a request line for a field", b"GET /smuggled HTTP/1.1\r\n", MALFORMED),
    head("no name", b": b\r\n", MALFORMED),
    head("a space before the colon", b"A : b\r\n", MALFORMED),
    head("a tab before the colon", b"A\t: b\r\n", MALFORMED),
    head("a NUL in a name", b"A\0: b\r\n", MALFORMED),
    head("a raw byte in a name", b"A\xa0: b\r\n", MALFORMED),
    head("a NUL in a value", b"A: b\0c\r\n", MALFORMED),
    head("a control character in a value", b"A: b\x1b[2J\r\n", MALFORMED),
    head("too many fields", b"A: b\r\n" * 200, TOO_LARGE),
    head("too large a field", b"A: " + b"b" * 70000 + b"\r\n", TOO_LARGE),
    # Host.
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", *MALFORMED),
    head("two Hosts", HOST, MALFORMED),
    head("two Hosts that differ", b"host: b.example\r\n", MALFORMED),
    ("a Host with a space before the colon", b"GET / HTTP/1.1\r\nHost : @HOST@\r\n\r\n", *MALFORMED),
    head("a second Host without a value", b"Host:\r\n", MALFORMED),
    ("a NUL in Host", b"GET / HTTP/1.1\r\nHost: @HOST@\0\r\n\r\n", *MALFORMED),
    ("a folded Host", b"GET / HTTP/1.1\r\nHost:\r\n @HOST@\r\n\r\n", *MALFORMED),
    ("the absolute form with a user", b"GET https://a@@HOST@/ HTTP/1.1\r\n" + HOST + b"\r\n", *AMBIGUOUS),
    ("the absolute form with a port that Host lacks", b"GET https://@HOST@:443/ HTTP/1.1\r\n" + HOST + b"\r\n",
     *AMBIGUOUS),
    ("the absolute form with a query for a path", b"GET https://@HOST@?a=/ HTTP/1.1\r\n" + HOST + b"\r\n", *AMBIGUOUS),
    ("the absolute form without a host", b"GET https:/// HTTP/1.1\r\n" + HOST + b"\r\n", *AMBIGUOUS),
    ("the absolute form with a dot behind", b"GET https://@HOST@./ HTTP/1.1\r\n" + HOST + b"\r\n", *AMBIGUOUS),
    # Where does the body end?
    post("CL.TE", b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", AMBIGUOUS, END + b"G"),
    post("TE.CL", b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", AMBIGUOUS, b"2c\r\n" + SMUGGLED + END),
    post("TE and a length of 0", b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", AMBIGUOUS, END),
    post("TE twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", AMBIGUOUS, END),
    post("TE.TE, the second unknown", b"Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n", AMBIGUOUS, END),
    post("TE gzip", b"Transfer-Encoding: gzip\r\n", AMBIGUOUS),
    post("TE gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", AMBIGUOUS, END),
    post("TE chunked, identity", b"Transfer-Encoding: chunked, identity\r\n", AMBIGUOUS, END),
    post("TE xchunked", b"Transfer-Encoding: xchunked\r\n", AMBIGUOUS, END),
    post("TE in quotes", b'Transfer-Encoding: "chunked"\r\n', AMBIGUOUS, END),
    post("TE with a parameter", b"Transfer-Encoding: chunked;q=1\r\n", AMBIGUOUS, END),
    post("TE with a comma behind", b"Transfer-Encoding: chunked,\r\n", AMBIGUOUS, END),
    post("TE without a value", b"Transfer-Encoding:\r\n", AMBIGUOUS),
    post("TE folded", b"Transfer-Encoding:\r\n chunked\r\n", MALFORMED, END),
    post("TE behind a vertical tab", b"Transfer-Encoding: \x0bchunked\r\n", MALFORMED, END),
    post("TE with a space before the colon", b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", MALFORMED, END),
    post("TE behind a bare LF", b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", MALFORMED, END),
    post("CL twice", b"Content-Length: 1\r\nContent-Length: 1\r\n", AMBIGUOUS, b"a"),
    post("CL.CL", b"Content-Length: 0\r\nContent-Length: 44\r\n", AMBIGUOUS, SMUGGLED),
    post("CL as a list", b"Content-Length: 1, 1\r\n", MALFORMED, b"a"),
    post("CL with a plus", b"Content-Length: +1\r\n", MALFORMED, b"a"),
    post("CL below zero", b"Content-Length: -1\r\n", MALFORMED),
    post("CL in hexadecimal", b"Content-Length: 0x1\r\n", MALFORMED, b"a"),
    post("CL with a space inside", b"Content-Length: 1 1\r\n", MALFORMED, b"a"),
    post("CL without a value", b"Content-Length:\r\n", MALFORMED),
    post("CL of 2^63", b"Content-Length: 9223372036854775808\r\n", MALFORMED),
    post("CL of 2^64 + 1", b"Content-Length: 18446744073709551617\r\n", MALFORMED, b"a"),
    post("CL with a fraction", b"Content-Length: 1.0\r\n", MALFORMED, b"a"),
    post("CL with an exponent", b"Content-Length: 1e0\r\n", MALFORMED, b"a"),
    post("CL with a separator", b"Content-Length: 1_0\r\n", MALFORMED, b"a"),
    post("CL in quotes", b'Content-Length: "1"\r\n', MALFORMED, b"a"),
    post("CL with a comma behind", b"Content-Length: 1,\r\n", MALFORMED, b"a"),
    post("CL with a comma in front", b"Content-Length: ,1\r\n", MALFORMED, b"a"),
    post("CL with a parameter", b"Content-Length: 1;a\r\n", MALFORMED, b"a"),
    post("CL of two that differ, as a list", b"Content-Length: 0, 1\r\n", MALFORMED, b"a"),
    post("CL with a NUL behind", b"Content-Length: 1\0\r\n", MALFORMED, b"a"),
    post("CL behind a vertical tab", b"Content-Length: \x0b1\r\n", MALFORMED, b"a"),
    post("CL behind a no-break space", b"Content-Length: \xa01\r\n", MALFORMED, b"a"),
    post("CL in digits of another script", "Content-Length: \u0661\r\n".encode(), MALFORMED, b"a"),
    post("CL in superscript", b"Content-Length: \xb9\r\n", MALFORMED, b"a"),
    post("CL of a sentence", b"Content-Length: none\r\n", MALFORMED),
    post("CL with more zeros than any number", b"Content-Length: " + b"0" * 30 + b"1\r\n", MALFORMED, b"a"),
    post("CL with a tab before the colon", b"Content-Length\t: 1\r\n", MALFORMED, b"a"),
    post("CL folded", b"Content-Length:\r\n 1\r\n", MALFORMED, b"a"),
    post("CL with a bare CR behind", b"Content-Length: 1\r\r\n", MALFORMED, b"a"),
    post("CL of more than anybody may send", b"Content-Length: 9223372036854775807\r\n", (413, "body_too_large"), b"a"),
    post("CL and TE that is empty", b"Content-Length: 1\r\nTransfer-Encoding:\r\n", AMBIGUOUS, b"a"),
    post("TE identity", b"Transfer-Encoding: identity\r\n", AMBIGUOUS),
    post("TE identity beside CL", b"Transfer-Encoding: identity\r\nContent-Length: 1\r\n", AMBIGUOUS, b"a"),
    post("TE chunked, chunked", b"Transfer-Encoding: chunked, chunked\r\n", AMBIGUOUS, END),
    post("TE chunked, gzip", b"Transfer-Encoding: chunked, gzip\r\n", AMBIGUOUS, END),
    post("TE with a comma in front", b"Transfer-Encoding: , chunked\r\n", AMBIGUOUS, END),
    post("TE cut short", b"Transfer-Encoding: chunk\r\n", AMBIGUOUS, END),
    post("TE with a space inside", b"Transfer-Encoding: chun ked\r\n", AMBIGUOUS, END),
    post("TE with a NUL behind", b"Transfer-Encoding: chunked\0\r\n", MALFORMED, END),
    post("TE behind a no-break space", b"Transfer-Encoding: \xa0chunked\r\n", AMBIGUOUS, END),
    post("TE with a letter that folds to k", "Transfer-Encoding: chun\u212aed\r\n".encode(), AMBIGUOUS, END),
    post("TE behind a form feed", b"Transfer-Encoding:\x0cchunked\r\n", MALFORMED, END),
    post("TE with a bare CR in front", b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", MALFORMED, END),
    post("TE with a NUL in its name", b"Transfer-Encoding\0: chunked\r\nContent-Length: 5\r\n", MALFORMED, END),
    post("TE in a line that begins with a space", b" Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", MALFORMED, END),
    ("TE of a GET beside CL", GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END, *AMBIGUOUS),
    ("CL twice of a GET", GET + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n", *AMBIGUOUS),
    post("an unknown expectation", b"Expect: 200-ok\r\nContent-Length: 1\r\n", EXPECTATION, b"a"),
    # The chunked coding.
    body("a bare LF behind the size", b"1\na\r\n" + END),
    body("a bare CR behind the size", b"1\ra\r\n" + END),
    body("a bare LF in an extension", b"1;\na\r\n" + END),
    body("a bare CR in an extension", b"1;a\rX\r\na\r\n" + END),
    body("a space behind the size", b"1 \r\na\r\n" + END),
    body("a plus", b"+1\r\na\r\n" + END),
    body("0x", b"0x1\r\na\r\n" + END),
    body("no size", b"\r\na\r\n" + END),
    body("a size of 2^64 + 1", b"10000000000000001\r\na\r\n" + END),
    body("no CRLF behind the data", b"1\r\na" + END),
    body("a bare LF behind the data", b"1\r\na\n" + END),
    body("two other bytes behind the data", b"1\r\naXX" + END),
    body("an endless extension", b"1;" + b"x" * 5000 + b"\r\na\r\n" + END),
    body("endless trailers", b"0\r\n" + b"A: b\r\n" * 2000 + b"\r\n"),
    body("a request for a trailer", b"0\r\n" + SMUGGLED),
    body("a folded trailer", b"0\r\nA: b\r\n c\r\n\r\n"),
    body("a bare LF at the end", b"0\r\n\n"),
    body("a bare LF behind the last size", b"0\n\r\n"),
    body("bare LF everywhere", b"1\na\n0\n\n"),
    body("a size below zero", b"-1\r\na\r\n" + END),
    body("a size of 16 digits", b"ffffffffffffffff\r\na\r\n" + END),
    body("a size with 16 zeros", b"00000000000000001\r\na\r\n" + END),
    body("a size with a letter beyond f", b"1g\r\na\r\n" + END),
    body("a space in front of the size", b" 1\r\na\r\n" + END),
    body("a tab in front of the size", b"\t1\r\na\r\n" + END),
    body("a tab behind the size", b"1\t\r\na\r\n" + END),
    body("a space before an extension", b"1 ;a\r\na\r\n" + END),
    body("a NUL behind the size", b"1\0\r\na\r\n" + END),
    body("a NUL in an extension", b"1;\0\r\na\r\n" + END),
    body("a size with a separator", b"1_0\r\na\r\n" + END),
    body("a size in quotes", b'"1"\r\na\r\n' + END),
    body("CR CR LF behind the size", b"1\r\r\na\r\n" + END),
    body("more data than the size", b"1\r\nab\r\n" + END),
    body("less data than the size", b"3\r\na\r\n" + END),
    body("a space before a trailer's colon", b"0\r\nA : b\r\n\r\n"),
    body("a bare LF in a trailer", b"0\r\nA: b\nC: d\r\n\r\n"),
    body("a NUL in a trailer", b"0\r\nA: \0\r\n\r\n"),
    body("a trailer without a name", b"0\r\n: b\r\n\r\n"),
    body("a bare CR at the end", b"0\r\n\r\r\n"),
]

STAYING = [
    ("CONNECT", b"CONNECT @HOST@:443 HTTP/1.1\r\n" + HOST + b"\r\n", 501, "method_refused"),
    ("TRACE", b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 501, "method_refused"),
    ("the absolute form", b"GET http://@HOST@/ HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("the asterisk form", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("no slash in front", b"GET a HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("an empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", *MALFORMED),
    ("a Host with a user", b"GET / HTTP/1.1\r\nHost: a@@HOST@\r\n\r\n", *MALFORMED),
    ("a list of Hosts", b"GET / HTTP/1.1\r\nHost: @HOST@, b.example\r\n\r\n", *MALFORMED),
    ("an address for a Host", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", *MALFORMED),
    ("a Host that nobody has", b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", 404, "host_unknown"),
    ("a Host with a path", b"GET / HTTP/1.1\r\nHost: @HOST@/a\r\n\r\n", *MALFORMED),
    ("a Host with a query", b"GET / HTTP/1.1\r\nHost: @HOST@?a\r\n\r\n", *MALFORMED),
    ("a Host with a fragment", b"GET / HTTP/1.1\r\nHost: @HOST@#a\r\n\r\n", *MALFORMED),
    ("a Host with a backslash", b"GET / HTTP/1.1\r\nHost: @HOST@\\\r\n\r\n", *MALFORMED),
    ("a Host with a space inside", b"GET / HTTP/1.1\r\nHost: @HOST@ b.example\r\n\r\n", *MALFORMED),
    ("a Host with an escape", b"GET / HTTP/1.1\r\nHost: @HOST@%00\r\n\r\n", *MALFORMED),
    ("a Host with two dots behind", b"GET / HTTP/1.1\r\nHost: @HOST@..\r\n\r\n", *MALFORMED),
    ("a Host with port 0", b"GET / HTTP/1.1\r\nHost: @HOST@:0\r\n\r\n", *MALFORMED),
    ("a Host with an empty port", b"GET / HTTP/1.1\r\nHost: @HOST@:\r\n\r\n", *MALFORMED),
    ("a Host with a port of letters", b"GET / HTTP/1.1\r\nHost: @HOST@:443a\r\n\r\n", *MALFORMED),
    ("a Host with a port too high", b"GET / HTTP/1.1\r\nHost: @HOST@:65536\r\n\r\n", *MALFORMED),
    ("a Host with another port", b"GET / HTTP/1.1\r\nHost: @HOST@:1\r\n\r\n", 404, "host_unknown"),
    ("a Host in brackets", b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", *MALFORMED),
    ("the authority form", b"GET @HOST@:443 HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a path that begins with another host", b"GET //b.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, "path_ambiguous"),
    ("a backslash for a slash", b"GET /\\b.example/ HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a line break in a path", b"GET /a%0d%0ab HTTP/1.1\r\n" + HOST + b"\r\n", 400, "path_ambiguous"),
    ("a NUL in a path", b"GET /a%00b HTTP/1.1\r\n" + HOST + b"\r\n", 400, "path_ambiguous"),
    ("half an escape in a path", b"GET /a%0 HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("overlong UTF-8 in a path", b"GET /a%c0%afb HTTP/1.1\r\n" + HOST + b"\r\n", *MALFORMED),
    ("a dot segment", b"GET /a/../b HTTP/1.1\r\n" + HOST + b"\r\n", 400, "path_ambiguous"),
    ("an encoded slash", b"GET /a%2fb HTTP/1.1\r\n" + HOST + b"\r\n", 400, "path_ambiguous"),
    ("a double encoding", b"GET /%252e%252e/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, "path_ambiguous"),
]

UNFINISHED = [
    ("nothing", b"", "close", None),
    ("half a request line", b"GET / HT", "close", None),
    ("half a head", GET + b"A: b\r\n", "close", None),
    ("a head without its last LF", GET + b"\r", "close", None),
]


def took(method, target, *fields, body=b""):
    return method, target, list(fields), body


def get(name, more, *fields, behind=b""):
    """A GET that arrives with these fields and without a body; what stands behind is the next request."""
    return name, GET + more + b"\r\n" + behind, [took("GET", "/", *fields)] + ([took("GET", "/smuggled")] if behind else [])


def sent(name, more, raw, body, *fields):
    return name, POST + more + b"\r\n" + raw + SMUGGLED, [took("POST", "/", *fields, body=body), took("GET", "/smuggled")]


CHUNKS = b"Transfer-Encoding: chunked\r\n"
TAKEN = [
    # Field names that some server could read as framing are none here, and nobody gets to read them.
    *(get(f"{alias} is no framing", alias.encode() + b": chunked\r\n", behind=SMUGGLED) for alias in
      ("Transfer_Encoding", "Transfer.Encoding", "Transfer~Encoding", "TRANSFER_ENCODING")),
    *(get(f"{alias} is no framing", alias.encode() + b": 44\r\n", behind=SMUGGLED) for alias in
      ("Content_Length", "Content.Length", "CONTENT_LENGTH", "Content~Length")),
    get("a field that only begins like one", b"Content-Length-X: 9\r\n", ("content-length-x", "9")),
    get("a field that only ends like one", b"X-Transfer-Encoding: chunked\r\n", ("x-transfer-encoding", "chunked")),
    # Content-Length.
    sent("CL", b"Content-Length: 3\r\n", b"abc", b"abc"),
    sent("CL with zeros in front", b"Content-Length: 0003\r\n", b"abc", b"abc"),
    sent("CL without a space", b"Content-Length:3\r\n", b"abc", b"abc"),
    sent("CL between tabs", b"Content-Length:\t3\t\r\n", b"abc", b"abc"),
    sent("CL in capitals", b"CONTENT-LENGTH: 3\r\n", b"abc", b"abc"),
    sent("CL of zero", b"Content-Length: 0\r\n", b"", b""),
    sent("CL that Connection names", b"Connection: content-length\r\nContent-Length: 3\r\n", b"abc", b"abc"),
    sent("no framing at all", b"", b"", b""),
    sent("a body that is a request", b"Content-Length: 27\r\n", b"GET /b HTTP/1.1\r\nA: b\r\n\r\n\r\n",
         b"GET /b HTTP/1.1\r\nA: b\r\n\r\n\r\n"),
    sent("a body that ends a chunked one", b"Content-Length: 5\r\n", END, END),
    sent("a body that was announced and waited for", b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc", b"abc"),
    ("a GET with a body", GET + b"Content-Length: 3\r\n\r\nabc" + SMUGGLED,
     [took("GET", "/", body=b"abc"), took("GET", "/smuggled")]),
    ("a HEAD with a body", b"HEAD / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc" + SMUGGLED,
     [took("HEAD", "/", body=b"abc"), took("GET", "/smuggled")]),
    ("a DELETE with a body in chunks", b"DELETE / HTTP/1.1\r\n" + HOST + CHUNKS + b"\r\n1\r\na\r\n" + END,
     [took("DELETE", "/", body=b"a")]),
    # Transfer-Encoding.
    sent("TE", CHUNKS, b"3\r\nabc\r\n" + END, b"abc"),
    sent("TE in mixed case", b"Transfer-Encoding: ChUnKeD\r\n", b"3\r\nabc\r\n" + END, b"abc"),
    sent("TE in capitals", b"TRANSFER-ENCODING: chunked\r\n", b"3\r\nabc\r\n" + END, b"abc"),
    sent("TE without a space", b"Transfer-Encoding:chunked\r\n", b"3\r\nabc\r\n" + END, b"abc"),
    sent("TE between tabs", b"Transfer-Encoding:\tchunked\t\r\n", b"3\r\nabc\r\n" + END, b"abc"),
    sent("TE that Connection names", b"Connection: transfer-encoding\r\n" + CHUNKS, b"3\r\nabc\r\n" + END, b"abc"),
    sent("many chunks", CHUNKS, b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n" + END, b"abc"),
    sent("sizes with zeros in front", CHUNKS, b"003\r\nabc\r\n000\r\n\r\n", b"abc"),
    sent("sizes in capitals", CHUNKS, b"A\r\n0123456789\r\n" + END, b"0123456789"),
    sent("extensions", CHUNKS, b'3;a=b;c="d e";f\r\nabc\r\n0;g\r\n\r\n', b"abc"),
    sent("a quote that an extension leaves open", CHUNKS, b'3;a="\r\nabc\r\n' + END, b"abc"),
    sent("a chunk that looks like the end", CHUNKS, b"5\r\n0\r\n\r\n\r\n" + END, END),
    sent("a chunk that is a request", CHUNKS, b"13\r\nGET /b HTTP/1.1\r\n\r\n\r\n" + END, b"GET /b HTTP/1.1\r\n\r\n"),
    sent("no chunk but the last", CHUNKS, END, b""),
    # Targets and hosts.
    ("the absolute form", b"GET https://@HOST@/a?b HTTP/1.1\r\n" + HOST + b"\r\n", [took("GET", "/a?b")]),
    ("the absolute form in capitals", b"GET HTTPS://@HOST@/a HTTP/1.1\r\n" + HOST + b"\r\n", [took("GET", "/a")]),
    ("a Host in capitals", b"GET / HTTP/1.1\r\nHOST: OPEN.Finance.LOCALHOST\r\n\r\n", [took("GET", "/")]),
    ("a Host with a dot behind", b"GET / HTTP/1.1\r\nHost: @HOST@.\r\n\r\n", [took("GET", "/")]),
    ("a Host that Connection names", GET + b"Connection: host\r\n\r\n", [took("GET", "/")]),
    ("escapes of what needs none", b"GET /%41%7e HTTP/1.1\r\n" + HOST + b"\r\n", [took("GET", "/A~")]),
    ("a line break in a query", b"GET /?a=%0d%0aHost:%20b HTTP/1.1\r\n" + HOST + b"\r\n", [took("GET", "/?a=%0d%0aHost:%20b")]),
    ("a version in a query", b"GET /?HTTP/1.1 HTTP/1.1\r\n" + HOST + b"\r\n", [took("GET", "/?HTTP/1.1")]),
    ("a query of question marks", b"GET /??a=//b HTTP/1.1\r\n" + HOST + b"\r\n", [took("GET", "/??a=//b")]),
    ("a method that nobody knows", b"M-!#$%&'*+.^_`|~ / HTTP/1.1\r\n" + HOST + b"\r\n", [took("M-!#$%&'*+.^_`|~", "/")]),
    ("a method in lower case", b"get / HTTP/1.1\r\n" + HOST + b"\r\n", [took("get", "/")]),
    # Fields.
    get("a value with a colon", b"A: b: c\r\n", ("a", "b: c")),
    get("a value with a tab", b"A: b\tc\r\n", ("a", "b\tc")),
    get("a value without a value", b"A:\r\nB: \t \r\n", ("a", ""), ("b", "")),
    get("a value of raw bytes", b"A: \xc3\xa9\xff\r\n", ("a", "\xc3\xa9\xff")),
    get("a value with an escaped line break", b"A: %0d%0aB: c\r\n", ("a", "%0d%0aB: c")),
    get("a value with a backslash and a letter", b"A: \\r\\nB: c\r\n", ("a", "\\r\\nB: c")),
    get("one name, two lines", b"A: b\r\nA: c\r\n", ("a", "b"), ("a", "c")),
    get("a change of protocol", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        behind=SMUGGLED),
    get("what is between two hops", b"TE: trailers\r\nTrailer: a\r\nKeep-Alive: max=1\r\nProxy-Connection: close\r\n",
        ("connection", "te"), ("te", "trailers")),
    get("two fields of cookies", b"Cookie: a=b\r\nCookie: c=d\r\n", ("cookie", "a=b; c=d")),
    # One behind the other.
    ("a GET and a GET", SMUGGLED + SMUGGLED, [took("GET", "/smuggled")] * 2),
    ("CL, then TE, then CL", POST + b"Content-Length: 1\r\n\r\na" + CHUNKED + b"1\r\nb\r\n" + END
     + POST + b"Content-Length: 1\r\n\r\nc", [took("POST", "/", body=b) for b in (b"a", b"b", b"c")]),
]

# HTTP/2

RESET = ("reset", PROTOCOL_ERROR)
PSEUDO = {":method": "GET", ":scheme": "https", ":authority": "@HOST@", ":path": "/"}
LINE_BREAK = "\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = " HTTP/1.1\r\nHost: @HOST@\r\n\r\nGET /smuggled HTTP/1.1\r\nX: "


def h2(name, outcome, *more, body=None, **pseudo):
    """`method=None` leaves a pseudo-header out; `body` is in pieces, one a DATA frame."""
    fields = PSEUDO | {":" + key: value for key, value in pseudo.items()}
    return name, [*((key, value) for key, value in fields.items() if value is not None), *more], body, outcome


def h2_post(name, outcome, *more, body=(b"abc",), **pseudo):
    return h2(name, outcome, *more, body=body, **{"method": "POST"} | pseudo)


H2_REFUSED = [
    # Values, in any field.
    *(h2(f"{what} in a value", RESET, ("x", value)) for what, value in (
        ("CR LF", "a" + LINE_BREAK), ("LF", "a\nb: c"), ("CR", "a\rb: c"), ("NUL", "a\0b"), ("a control", "a\x01b"),
        ("DEL", "a\x7fb"), ("a space in front", " a"), ("a space behind", "a "), ("a tab in front", "\ta"),
        ("a tab behind", "a\t"))),
    h2("CR LF in a cookie", RESET, ("cookie", "a=b" + LINE_BREAK)),
    h2("LF in a second crumb", RESET, ("cookie", "a=b"), ("cookie", "c=d\nX: y")),
    h2("CR LF in Host", RESET, ("host", "@HOST@" + LINE_BREAK)),
    h2("CR LF in Via", RESET, ("via", "1.1 a" + LINE_BREAK)),
    h2("CR LF in a trace", RESET, ("tracestate", "a=b" + LINE_BREAK)),
    # Names.
    *(h2(f"{what} in a name", RESET, (name, "b")) for what, name in (
        ("capitals", "X"), ("a space", "x y"), ("a space behind", "x "), ("a space in front", " x"), ("a colon", "x:y"),
        ("a colon and a value", "x: y\r\nz"), ("CR LF", "x\r\ny"), ("LF", "x\ny"), ("NUL", "x\0"), ("a tab", "x\t"),
        ("a slash", "x/y"), ("a raw byte", b"x\xe9"))),
    h2("no name", RESET, ("", "b")),
    h2("a colon for a name", RESET, (":", "b")),
    h2("a request for a name", RESET, ("get /smuggled http/1.1\r\nhost", "b")),
    # What belongs to a connection: RFC 9113 §8.2.2.
    h2_post("TE chunked", RESET, ("transfer-encoding", "chunked")),
    h2_post("TE chunked beside CL", RESET, ("transfer-encoding", "chunked"), ("content-length", "3")),
    h2_post("TE identity", RESET, ("transfer-encoding", "identity")),
    h2_post("TE with a space behind its name", RESET, ("transfer-encoding ", "chunked")),
    h2("Connection", RESET, ("connection", "close")),
    h2("Connection that names a field of ours", RESET, ("connection", "belfry-assertion")),
    h2("Keep-Alive", RESET, ("keep-alive", "max=1")),
    h2("Proxy-Connection", RESET, ("proxy-connection", "close")),
    h2("Upgrade", RESET, ("upgrade", "h2c")),
    h2("te of gzip", RESET, ("te", "gzip")),
    h2("te of a list", RESET, ("te", "trailers, gzip")),
    # Content-Length and DATA.
    h2_post("CL of less than DATA", RESET, ("content-length", "2")),
    h2_post("CL of more than DATA", RESET, ("content-length", "4")),
    h2_post("CL without DATA", RESET, ("content-length", "3"), body=None),
    h2_post("CL twice", RESET, ("content-length", "3"), ("content-length", "3")),
    h2_post("CL.CL", RESET, ("content-length", "3"), ("content-length", "0")),
    *(h2_post(f"CL {what}", RESET, ("content-length", value)) for what, value in (
        ("with a plus", "+3"), ("below zero", "-3"), ("as a list", "3, 3"), ("in hexadecimal", "0x3"), ("empty", ""),
        ("with a space", "3 "), ("with CR LF", "3" + LINE_BREAK), ("of 2^64 + 3", "18446744073709551619"),
        ("of letters", "three"))),
    # The method.
    h2("no method", RESET, method=None),
    h2("an empty method", RESET, method=""),
    h2("two methods", RESET, (":method", "GET")),
    h2("a request in the method", RESET, method="GET /smuggled" + REQUEST),
    h2("a space in the method", RESET, method="GET /smuggled"),
    h2("LF in the method", RESET, method="GET\n"),
    h2("a colon in the method", RESET, method="G:T"),
    h2("a long method", MALFORMED, method="G" * 100),
    h2("TRACE", (501, "method_refused"), method="TRACE"),
    h2("CONNECT with a path", RESET, method="CONNECT"),
    # The path.
    h2("no path", RESET, path=None),
    h2("an empty path", RESET, path=""),
    h2("two paths", RESET, (":path", "/")),
    h2("a request in the path", RESET, path="/" + REQUEST),
    h2("a space in the path", RESET, path="/a b"),
    h2("LF in the path", RESET, path="/a\nb"),
    h2("NUL in the path", RESET, path="/a\0b"),
    h2("a tab in the path", RESET, path="/a\tb"),
    h2("a path without a slash", RESET, path="a"),
    h2("the absolute form", RESET, path="https://@HOST@/"),
    h2("the absolute form of another host", RESET, path="http://b.example/"),
    h2("the asterisk form of a GET", RESET, path="*"),
    h2("the asterisk form", MALFORMED, method="OPTIONS", path="*"),
    h2("a fragment", MALFORMED, path="/a#b"),
    h2("raw bytes in the path", MALFORMED, path="/\xe9"),
    h2("a version in the path", RESET, path="/ HTTP/1.1"),
    h2("a dot segment", (400, "path_ambiguous"), path="/a/../b"),
    h2("a line break in the path", (400, "path_ambiguous"), path="/a%0d%0ab"),
    h2("an endless path", TOO_LONG, path="/" + "a" * 20000),
    # The authority.
    h2("neither authority nor Host", RESET, authority=None),
    h2("an empty authority", RESET, authority=""),
    h2("two authorities", RESET, (":authority", "@HOST@")),
    h2("CR LF in the authority", RESET, authority="@HOST@" + LINE_BREAK),
    h2("a space in the authority", RESET, authority="@HOST@ b"),
    h2("a path in the authority", RESET, authority="@HOST@/a"),
    h2("a user in the authority", MALFORMED, authority="a@@HOST@"),
    h2("a list in the authority", MALFORMED, authority="@HOST@,b.example"),
    h2("another host's authority", (404, "host_unknown"), authority="b.example"),
    h2("a Host that differs", AMBIGUOUS, ("host", "b.example")),
    h2("two Hosts", RESET, ("host", "@HOST@"), ("host", "@HOST@")),
    h2("a Host that is empty", RESET, ("host", "")),
    # The scheme, and pseudo-headers as such: RFC 9113 §8.3.
    h2("no scheme", RESET, scheme=None),
    h2("an empty scheme", RESET, scheme=""),
    h2("two schemes", RESET, (":scheme", "https")),
    h2("http", MALFORMED, scheme="http"),
    h2("a URL for a scheme", RESET, scheme="https://b.example/?"),
    h2("CR LF in the scheme", RESET, scheme="https\r\nX: y"),
    h2("a pseudo-header that nobody knows", RESET, (":x", "y")),
    h2("a status in a request", RESET, (":status", "200")),
    h2("a protocol without CONNECT", RESET, (":protocol", "websocket")),
    h2("another protocol of CONNECT", (501, "method_refused"), (":protocol", "connect-udp"), method="CONNECT"),
    h2("CR LF in the protocol", RESET, (":protocol", "websocket" + LINE_BREAK), method="CONNECT"),
    h2("two protocols", RESET, (":protocol", "websocket"), (":protocol", "websocket"), method="CONNECT"),
    ("a pseudo-header behind a field", [("x", "y"), *PSEUDO.items()], None, RESET),
    ("a path behind a field", [(":method", "GET"), (":scheme", "https"), (":authority", "@HOST@"), ("x", "y"), (":path", "/")],
     None, RESET),
    h2("too large a field", TOO_LARGE, ("x", "y" * 65000), ("z", "y" * 1000)),
    h2("too many fields", TOO_LARGE, *((f"x{i}", "y") for i in range(200))),
    h2_post("an unknown expectation", EXPECTATION, ("expect", "200-ok")),
]


H2_TAKEN = [
    h2("nothing odd", took("GET", "/")),
    *(h2_post(f"{alias} is no framing", took("POST", "/", body=b"abc"), (alias, "chunked")) for alias in
      ("transfer_encoding", "transfer.encoding", "transfer~encoding")),
    *(h2_post(f"{alias} is no framing", took("POST", "/", body=b"abc"), (alias, "0")) for alias in
      ("content_length", "content.length", "content~length")),
    h2_post("CL", took("POST", "/", body=b"abc"), ("content-length", "3")),
    h2_post("CL with zeros in front", took("POST", "/", body=b"abc"), ("content-length", "0003")),
    h2_post("no CL", took("POST", "/", body=b"abc")),
    h2_post("no CL and no DATA", took("POST", "/"), body=None),
    h2_post("CL of zero and an empty end", took("POST", "/"), ("content-length", "0"), body=(b"",)),
    h2_post("DATA in pieces, some empty", took("POST", "/", body=b"abc"), body=(b"a", b"", b"bc", b"")),
    h2_post("DATA that ends a chunked body", took("POST", "/", body=END + SMUGGLED), body=(END, SMUGGLED)),
    h2_post("DATA that is a chunk", took("POST", "/", body=b"1\r\na\r\n"), body=(b"1\r\na\r\n",)),
    h2("a GET with DATA", took("GET", "/", body=b"abc"), body=(b"abc",)),
    h2("te: trailers", took("GET", "/", ("connection", "te"), ("te", "trailers")), ("te", "trailers")),
    h2("cookie crumbs", took("GET", "/", ("cookie", "a=b; c=d; e=f")), ("cookie", "a=b"), ("cookie", "c=d; e=f")),
    h2("a Host that agrees", took("GET", "/"), ("host", "@HOST@")),
    h2("a Host alone", took("GET", "/"), ("host", "@HOST@"), authority=None),
    h2("an authority in capitals", took("GET", "/"), authority="OPEN.Finance.LOCALHOST"),
    h2("a value of raw bytes", took("GET", "/", ("a", "\xc3\xa9\xff")), ("a", b"\xc3\xa9\xff")),
    h2("a value with a tab and colons", took("GET", "/", ("a", "b:\tc: d")), ("a", "b:\tc: d")),
    h2("no value", took("GET", "/", ("a", "")), ("a", "")),
    h2("a line break in a query", took("GET", "/?a=%0d%0a"), path="/?a=%0d%0a"),
    h2("a method that nobody knows", took("M-!#$%&'*+.^_`|~", "/"), method="M-!#$%&'*+.^_`|~"),
]

# Answers

OK = b"HTTP/1.1 200 OK\r\n"
POISON = OK + b"Content-Length: 6\r\n\r\npoison"
FINE = OK + b"Content-Length: 4\r\n\r\nfine"


def answer(name, outcome, framing, behind=b"", method="GET", status=b"200 OK", version=b"HTTP/1.1"):
    return name, method, version + b" " + status + b"\r\n" + framing + b"\r\n" + behind, outcome


def coded(name, outcome, raw):
    return answer("chunked: " + name, outcome, CHUNKS, raw)


ANSWERS = [
    # Where does it end?
    answer("TE and CL", "broken", CHUNKS + b"Content-Length: 5\r\n", END),
    answer("CL and TE", "broken", b"Content-Length: 5\r\n" + CHUNKS, END),
    answer("CL twice", "broken", b"Content-Length: 4\r\n" * 2, b"fine"),
    answer("CL.CL", "broken", b"Content-Length: 4\r\nContent-Length: 0\r\n", b"fine"),
    answer("CL as a list", "broken", b"Content-Length: 4, 4\r\n", b"fine"),
    answer("CL with a plus", "broken", b"Content-Length: +4\r\n", b"fine"),
    answer("CL below zero", "broken", b"Content-Length: -4\r\n", b"fine"),
    answer("CL of 2^64 + 4", "broken", b"Content-Length: 18446744073709551620\r\n", b"fine"),
    answer("CL with a space before the colon", "broken", b"Content-Length : 4\r\n", b"fine"),
    answer("TE gzip, chunked", "broken", b"Transfer-Encoding: gzip, chunked\r\n", END),
    answer("TE identity", "broken", b"Transfer-Encoding: identity\r\n"),
    answer("TE twice", "broken", CHUNKS * 2, END),
    answer("TE xchunked", "broken", b"Transfer-Encoding: xchunked\r\n", END),
    answer("TE in HTTP/1.0", "broken", CHUNKS, END, version=b"HTTP/1.0"),
    answer("a bare LF", "broken", b"A: b\nContent-Length: 4\r\n", b"fine"),
    answer("a bare CR", "broken", b"A: b\rContent-Length: 4\r\n", b"fine"),
    answer("a NUL", "broken", b"A: b\0\r\nContent-Length: 4\r\n", b"fine"),
    answer("a folded line", "broken", b"A: b\r\n c\r\nContent-Length: 4\r\n", b"fine"),
    answer("a space in a name", "broken", b"A b: c\r\nContent-Length: 4\r\n", b"fine"),
    answer("too many fields", "broken", b"A: b\r\n" * 200 + b"Content-Length: 4\r\n", b"fine"),
    answer("a status of two digits", "broken", b"Content-Length: 4\r\n", b"fine", status=b"20 OK"),
    answer("a status below 100", "broken", b"Content-Length: 4\r\n", b"fine", status=b"099 OK"),
    answer("another version", "broken", b"Content-Length: 4\r\n", b"fine", version=b"HTTP/2.0"),
    answer("ICY", "broken", b"Content-Length: 4\r\n", b"fine", version=b"ICY"),
    ("HTTP/0.9", "GET", b"fine\r\n\r\n", "broken"),
    ("an empty line in front", "GET", b"\r\n" + FINE, "broken"),
    # Bodies where none may be, and none where one may.
    answer("204 with CL", "broken", b"Content-Length: 4\r\n", b"fine", status=b"204 No"),
    answer("204 with TE", "broken", CHUNKS, END, status=b"204 No"),
    answer("204 with a body that it does not announce", (204, b""), b"", POISON, status=b"204 No"),
    answer("204 with CL of zero", (204, b""), b"Content-Length: 0\r\n", status=b"204 No"),
    answer("304 with CL", (304, b""), b"Content-Length: 4\r\n", status=b"304 No"),
    answer("304 with a body", (304, b""), b"Content-Length: 4\r\n", b"fine", status=b"304 No"),
    answer("304 with a body in chunks", (304, b""), CHUNKS, b"4\r\nfine\r\n" + END, status=b"304 No"),
    answer("HEAD with CL", (200, b""), b"Content-Length: 4\r\n", method="HEAD"),
    answer("HEAD with a body", (200, b""), b"Content-Length: 4\r\n", b"fine", method="HEAD"),
    answer("HEAD with a body in chunks", (200, b""), CHUNKS, b"4\r\nfine\r\n" + END, method="HEAD"),
    answer("HEAD with a whole answer for a body", (200, b""), b"Content-Length: 4\r\n", POISON, method="HEAD"),
    answer("100 with CL", "broken", b"Content-Length: 4\r\n", b"fine" + FINE, status=b"100 Continue"),
    answer("103 with TE", "broken", CHUNKS, END + FINE, status=b"103 Early"),
    answer("103 with a body that it does not announce", "broken", b"", b"fine" + FINE, status=b"103 Early"),
    answer("101 that nobody asked for", "broken", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", FINE, status=b"101 Switching"),
    answer("100 and then the answer", (200, b"fine"), b"", FINE, status=b"100 Continue"),
    # What stands behind.
    ("an answer behind the answer", "GET", FINE + POISON, (200, b"fine")),
    ("bytes behind the answer", "GET", FINE + b"!", (200, b"fine")),
    ("an answer behind a chunked one", "GET", OK + CHUNKS + b"\r\n4\r\nfine\r\n" + END + POISON, (200, b"fine")),
    ("an answer behind an empty one", "GET", OK + b"Content-Length: 0\r\n\r\n" + POISON, (200, b"")),
    ("100 behind the answer", "GET", FINE + b"HTTP/1.1 100 Continue\r\n\r\n", (200, b"fine")),
    ("a line break behind the answer", "GET", FINE + b"\r\n", (200, b"fine")),
    # The chunked coding.
    coded("one", (200, b"fine"), b"4\r\nfine\r\n" + END),
    coded("zeros in front and an extension", (200, b"fine"), b"004;a=b\r\nfine\r\n" + END),
    coded("a bare LF", "spoiled", b"4\nfine\r\n" + END),
    coded("a bare LF behind a good one", "spoiled", b"4\r\nfine\r\n4\nmore\r\n" + END),
    coded("a space behind the size", "spoiled", b"4 \r\nfine\r\n" + END),
    coded("a size below zero", "spoiled", b"-4\r\nfine\r\n" + END),
    coded("a size of 2^64 + 4", "spoiled", b"10000000000000004\r\nfine\r\n" + END),
    coded("more data than the size", "spoiled", b"3\r\nfine\r\n" + END),
    coded("an answer for a size", "spoiled", b"4\r\nfine\r\n" + POISON),
    coded("an answer for a trailer", "spoiled", b"4\r\nfine\r\n0\r\n" + POISON),
]

# Behind these alone the application's connection is used again; behind all others it has said too much, or nothing certain.
CLEAN = {"204 with CL of zero", "304 with CL", "HEAD with CL", "100 and then the answer", "chunked: one",
         "chunked: zeros in front and an extension"}
