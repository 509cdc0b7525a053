# SPDX-License-Identifier: EUPL-1.2
"""No message exists that Belfry and its neighbour would frame differently: each row of smuggling.py, judged by every byte
that an application saw on any of its connections, and by what the next request gets."""

import re

import pytest

from conftest import check_end
from h2_raw import DATA, END_STREAM, PROTOCOL_ERROR, Raw, frame, request
from smuggling import ANSWERS, CHUNKED, CLEAN, ENDING, GET, H2_REFUSED, H2_TAKEN, SMUGGLED, STAYING, TAKEN, UNFINISHED, took
from world import World, parse_answer, until

APPLICATION = "open.finance.localhost"  # lets everybody in: only the parsers stand between
OURS = ("via", "forwarded", "traceparent", "belfry-reference", "belfry-assertion")  # what the gateway adds, once each


@pytest.fixture(scope="module")
def alone():
    """A gateway with one worker, so that all requests share its connections to the application."""
    with World(workers=1) as made:
        yield made.begin()
        check_end(made)


@pytest.fixture
def tapped(alone):
    alone.origin.clear()
    alone.origin.wire = {}
    return alone


def filled(value):
    if isinstance(value, str):
        return value.replace("@HOST@", APPLICATION)
    return value.replace(b"@HOST@", APPLICATION.encode())


def rows(table):
    names = [row[0] for row in table]
    assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]
    return [pytest.param(*row[1:], id=row[0]) for row in table]


def test_the_corpus_is_as_large_as_it_is_said_to_be():
    tables = ENDING, STAYING, UNFINISHED, TAKEN, H2_REFUSED, H2_TAKEN, ANSWERS
    assert sum(map(len, tables)) >= 400 and sum(map(len, tables[:-1])) >= 300


# What an application saw, read by the letter of RFC 9112 and with nothing of the gateway's or origin.py's own parsers.

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~]+) HTTP/1\.1")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*((?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)[ \t]*")


class Unfinished(Exception):
    """The bytes end before the message does; what there is of its body is said."""


def cut_line(raw):
    line, found, rest = raw.partition(b"\r\n")
    if not found:
        raise Unfinished(raw)
    assert b"\n" not in line and b"\r" not in line and b"\0" not in line, line
    return line, rest


def cut(raw, length):
    if len(raw) < length:
        raise Unfinished(raw)
    return raw[:length], raw[length:]


def cut_body(fields, raw):
    codings = [value for name, value in fields if name == "transfer-encoding"]
    lengths = [value for name, value in fields if name == "content-length"]
    assert len(codings) + len(lengths) <= 1 and codings in ([], ["chunked"])
    if lengths:
        assert re.fullmatch("0|[1-9][0-9]*", lengths[0])
        return cut(raw, int(lengths[0]))
    body = b""
    while codings:
        line, raw = cut_line(raw)
        assert re.fullmatch(b"[0-9a-f]{1,8}", line), line
        data, raw = cut(raw, int(line, 16))
        line, raw = cut_line(raw)
        assert not line
        body += data
        if not data:
            break
    return body, raw


def cut_request(raw):
    line, raw = cut_line(raw)
    method, target = REQUEST_LINE.fullmatch(line).groups()
    fields = []
    while True:
        line, raw = cut_line(raw)
        if not line:
            break
        name, value = FIELD.fullmatch(line).groups()
        fields.append((name.decode().lower(), value.decode("latin-1")))
    body, raw = cut_body(fields, raw)
    assert fields[0] == ("host", APPLICATION)
    for own in OURS:
        assert len([name for name, _ in fields if name == own]) == 1, own
    kept = [(n, v) for n, v in fields[1:] if n not in (*OURS, "content-length", "transfer-encoding")]
    assert not [name for name, _ in kept if name == "host"]
    return (method.decode(), target.decode(), kept, body), raw


def arrived(world):
    """All requests on all connections, and how many were broken off."""
    requests, broken = [], 0
    for wire in list(world.origin.wire.values()):
        raw = bytes(wire)
        while raw:
            try:
                request, raw = cut_request(raw)
            except Unfinished:
                broken += 1
                break
            requests.append(request)
    return requests, broken


# A client's side that reads answers by the letter, too.

class Client:
    def __init__(self, tls):
        self.tls, self.rest, self.is_over = tls, b"", False

    def more(self):
        try:
            data = self.tls.recv(65536)
        except ConnectionError:
            data = b""
        self.is_over = not data
        self.rest += data
        return not self.is_over

    def until(self, parse):
        while True:
            try:
                value, self.rest = parse(self.rest)
                return value
            except Unfinished:
                if not self.more():
                    raise

    def answer(self, method="GET"):
        """(status, fields, body); Unfinished where the connection ends in the middle."""
        while True:
            line = self.until(cut_line)
            status = int(re.fullmatch(rb"HTTP/1\.1 ([0-9]{3}) .*", line)[1])
            fields = []
            while line := self.until(cut_line):
                name, value = FIELD.fullmatch(line).groups()
                fields.append((name.decode(), value.decode("latin-1")))
            if status >= 200:
                break
        if method == "HEAD" or status in (204, 304):
            return status, fields, b""
        assert [n for n, _ in fields if n in ("content-length", "transfer-encoding")], fields
        return status, fields, self.until(lambda raw: cut_body(fields, raw))


def ask_h1(client, method, target):
    client.tls.sendall(filled(f"{method} {target} HTTP/1.1\r\nHost: @HOST@\r\n\r\n".encode()))
    try:
        status, _, body = client.answer(method)
    except Unfinished:
        assert client.is_over
        return "cut"
    return "broken" if status == 502 else (status, body)


def check(world, expected, broken=0):
    """Exactly the expected requests arrived; whoever comes next is answered with what is theirs."""
    with world.tls(APPLICATION) as tls:
        client = Client(tls)
        for i in range(2):
            assert ask_h1(client, "GET", f"/after/{i}") == (200, f"GET /after/{i} 0".encode())
        assert not client.rest
    after = [took("GET", f"/after/{i}") for i in range(2)]
    requests, unfinished = arrived(world)
    assert [r for r in requests if r not in after] == expected and [r for r in requests if r in after] == after
    assert unfinished <= broken


@pytest.mark.parametrize("raw,status,problem", rows(ENDING))
def test_a_message_without_a_certain_end_is_the_connections_last(tapped, raw, status, problem):
    with tapped.tls(APPLICATION) as tls:
        tls.sendall(filled(raw + SMUGGLED))
        data = b""
        while piece := tls.recv(65536):
            data += piece
    answer = parse_answer(data)
    assert (answer.status, answer.problem) == (status, problem)
    assert answer.get("connection") == "close"
    assert len(answer.body) == int(answer.get("content-length")), "more than one answer"
    # Of a chunked body, what was good may have gone on before the rest came; its end never.
    check(tapped, [], broken=1 if raw.startswith(CHUNKED) else 0)


@pytest.mark.parametrize("raw,status,problem", rows(STAYING))
def test_a_refused_request_with_a_certain_end_leaves_the_connection_usable(tapped, raw, status, problem):
    with tapped.tls(APPLICATION) as tls:
        client = Client(tls)
        tls.sendall(filled(raw))
        seen, fields, body = client.answer()
        assert seen == status and f"urn:belfry:problem:{problem}".encode() in body
        tls.sendall(filled(GET + b"\r\n"))
        assert client.answer()[2] == b"GET / 0" and not client.rest
    check(tapped, [took("GET", "/")])


@pytest.mark.parametrize("raw,requests", rows(TAKEN))
def test_what_has_one_reading_arrives_with_that_one(tapped, raw, requests):
    with tapped.tls(APPLICATION) as tls:
        client = Client(tls)
        tls.sendall(filled(raw))
        for method, target, _, body in requests:
            status, _, said = client.answer(method)
            assert status == 200 and said == (b"" if method == "HEAD" else f"{method} {target} {len(body)}".encode())
        assert not client.rest
    check(tapped, requests)


def send_h2(raw, stream, fields, body):
    fields = [(filled(name), filled(value)) for name, value in fields]
    raw.send(raw.headers(stream, fields, end=body is None), *(
        frame(DATA, END_STREAM if i + 1 == len(body) else 0, stream, filled(piece)) for i, piece in enumerate(body or ())))
    return raw.outcome(stream)


@pytest.mark.parametrize("fields,body,outcome", rows(H2_REFUSED))
def test_what_http_1_could_not_say_is_refused_over_http_2(tapped, fields, body, outcome):
    with Raw(tapped, APPLICATION) as raw:
        status, said = send_h2(raw, 1, fields, body)
        assert outcome == ((status, said) if status == "reset" else (status, re.search(rb"problem:(\w+)", said)[1].decode()))
        raw.get(3, "/next")
        assert raw.outcome(3) == (200, b"GET /next 0")
    check(tapped, [took("GET", "/next")], broken=1 if body and outcome[0] == "reset" else 0)


@pytest.mark.parametrize("fields,body,request_", rows(H2_TAKEN))
def test_what_http_1_can_say_arrives_from_http_2(tapped, fields, body, request_):
    method, target, kept, content = filled(request_[0]), request_[1], request_[2], filled(request_[3])
    with Raw(tapped, APPLICATION) as raw:
        assert send_h2(raw, 1, fields, body) == (200, f"{method} {target} {len(content)}".encode())
    check(tapped, [(method, target, kept, content)])


@pytest.mark.parametrize("announced,pieces", [("0", (b"", b"abc")), ("2", (b"ab", b"c"))])
def test_of_a_body_longer_than_announced_no_more_than_announced_arrives(tapped, announced, pieces):
    head = request(APPLICATION, "/wait/there", "POST", ("content-length", announced))
    with Raw(tapped, APPLICATION) as raw:
        raw.send(raw.headers(1, head, end=False), frame(DATA, 0, 1, pieces[0]))
        until(lambda: arrived(tapped)[0], "what was announced did not arrive")
        raw.send(frame(DATA, 0, 1, pieces[1]))
        assert raw.outcome(1) == ("reset", PROTOCOL_ERROR)
    tapped.origin.release.set()
    check(tapped, [took("POST", "/wait/there", body=pieces[0])])


# Answers

def is_used_again(world):
    """The connection on which the first answer was said."""
    first, *others = world.origin.requests
    return first.connection in [r.connection for r in others]


NAMED_ANSWERS = [(row[0], row[0] in CLEAN, *row[1:]) for row in ANSWERS]


@pytest.mark.parametrize("clean,method,raw,outcome", rows(NAMED_ANSWERS))
def test_an_answer_is_one_answer_to_the_one_who_asked_over_http_1(tapped, clean, method, raw, outcome):
    expected = [took(method, f"/then/{raw.hex()}")]
    with tapped.tls(APPLICATION) as tls:
        client = Client(tls)
        seen = ask_h1(client, method, f"/then/{raw.hex()}")
        assert seen == outcome or (outcome == "spoiled" and seen in ("broken", "cut"))
        if seen != "cut":
            assert ask_h1(client, "GET", "/next") == (200, b"GET /next 0") and not client.rest
            expected.append(took("GET", "/next"))
        assert b"poison" not in client.rest
    check(tapped, expected)
    assert is_used_again(tapped) == clean


@pytest.mark.parametrize("clean,method,raw,outcome", rows(NAMED_ANSWERS))
def test_an_answer_is_one_answer_to_the_one_who_asked_over_http_2(tapped, clean, method, raw, outcome):
    with Raw(tapped, APPLICATION) as client:
        client.send(client.headers(1, request(APPLICATION, f"/then/{raw.hex()}", method)))
        seen = client.outcome(1)
        seen = {502: "broken", "reset": "cut"}.get(seen[0], seen)
        assert seen == outcome or (outcome == "spoiled" and seen in ("broken", "cut"))
        client.get(3, "/next")
        assert client.outcome(3) == (200, b"GET /next 0")
    check(tapped, [took(method, f"/then/{raw.hex()}"), took("GET", "/next")])
    assert is_used_again(tapped) == clean


POISONS = [b"!", b"\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison", b"HTTP/1.1 100 Continue\r\n\r\n",
           b"HTTP/1.1 408 Late\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]


@pytest.mark.parametrize("poison", POISONS)
def test_what_comes_on_a_connection_at_rest_is_for_nobody(tapped, poison):
    with tapped.tls(APPLICATION) as tls:
        assert ask_h1(Client(tls), "GET", f"/surplus/{poison.hex()}") == (200, b"ok")
    (connection,) = [r.connection for r in tapped.origin.requests]
    tapped.origin.release.set()
    until(lambda: connection not in tapped.origin.peers, "the gateway keeps the connection")
    check(tapped, [took("GET", f"/surplus/{poison.hex()}")])
