# SPDX-License-Identifier: EUPL-1.2
"""What a smuggler sends over HTTP/1.1. Rows of (name, bytes, status, problem); "@HOST@" in the bytes stands for the
application's host.

ENDING      where the message ends is no longer certain, so the connection ends with the answer
STAYING     the end is certain, only the request is refused, and the next one on the connection is answered
UNFINISHED  the client ends in the middle ("close": there is nothing to answer)"""

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
