# SPDX-License-Identifier: EUPL-1.2
"""Applications that fail, lie, hang or say more than they were asked: what the client is told, what is tried again, and
that no connection carries on after anything odd."""

import socket

import pytest

from callers import H2, Reset, read_answer
from world import Stopped, World, until

OPEN = "open.finance.localhost"
SMALL = "small.finance.localhost"  # waits 1 s for an answer's first byte and 2 s for its next ones
PAIR = "pair.finance.localhost"

OK = b"HTTP/1.1 200 OK\r\n"
NOTHING = b"content-length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def alone():
    """One worker, so that a pool can be counted; its idle connections end after a second."""
    with World(workers=1, extra_config="timeouts: { upstream_idle: 1s }\n") as made:
        yield made.begin()
        assert made.stop("gateway", patience_s=20) == 0
        assert "Sanitizer" not in made.log_text() and "runtime error" not in made.log_text(), made.log_text()[-6000:]


@pytest.fixture
def tls(world):
    with world.tls(OPEN) as made:
        yield made


def ask(tls, path, method="GET", headers="", body=b"", host=OPEN):
    length = f"content-length: {len(body)}\r\n" if body else ""
    tls.sendall(f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}{length}\r\n".encode() + body)
    return read_answer(tls, to_head=method == "HEAD")[0]


def ended(world, answer):
    """The reason in the end's event."""
    reference = answer if isinstance(answer, str) else answer.get("belfry-reference")
    (event,) = until(lambda: [e for e in world.events(reference) if e["event.action"] == "access-end"], "no end's event")
    return event["belfry.reason_code"]


MALFORMED = {
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "a bare LF ends a field": OK + b"a: b\ncontent-length: 0\r\n\r\n",
    "a bare CR in a value": OK + b"a: b\rc: d\r\n" + NOTHING,
    "an empty line in front": b"\r\n" + OK + NOTHING,
    "HTTP/2 in text": b"HTTP/2 200 OK\r\n" + NOTHING,
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n" + NOTHING,
    "http in lower case": b"http/1.1 200 OK\r\n" + NOTHING,
    "another protocol": b"ICY 200 OK\r\n" + NOTHING,
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no status": b"HTTP/1.1\r\n" + NOTHING,
    "a status of two digits": b"HTTP/1.1 20 OK\r\n" + NOTHING,
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n" + NOTHING,
    "a status below 100": b"HTTP/1.1 099 OK\r\n" + NOTHING,
    "a status that is no number": b"HTTP/1.1 2x0 OK\r\n" + NOTHING,
    "two spaces before the status": b"HTTP/1.1  200 OK\r\n" + NOTHING,
    "a control character in the phrase": b"HTTP/1.1 200 O\x07K\r\n" + NOTHING,
    "a folded line": OK + b"a: b\r\n c\r\n" + NOTHING,
    "a field without a colon": OK + b"abc\r\n" + NOTHING,
    "a field without a name": OK + b": b\r\n" + NOTHING,
    "a space before the colon": OK + b"a : b\r\n" + NOTHING,
    "a space in a name": OK + b"a b: c\r\n" + NOTHING,
    "NUL in a value": OK + b"a: b\0c\r\n" + NOTHING,
    "NUL in a name": OK + b"a\0: b\r\n" + NOTHING,
    "CL twice": OK + b"content-length: 0\r\n" + NOTHING,
    "CL twice, and they differ": OK + b"content-length: 5\r\n" + NOTHING + b"hello",
    "CL as a list": OK + b"content-length: 5, 5\r\n\r\nhello",
    "CL with a plus": OK + b"content-length: +5\r\n\r\nhello",
    "CL below zero": OK + b"content-length: -5\r\n\r\nhello",
    "CL in hexadecimal": OK + b"content-length: 0x5\r\n\r\nhello",
    "CL without a value": OK + b"content-length:\r\n\r\nhello",
    "CL of 2^63": OK + b"content-length: 9223372036854775808\r\n\r\nhello",
    "CL of 2^64 + 5": OK + b"content-length: 18446744073709551621\r\n\r\nhello",
    "TE beside CL": OK + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "TE twice": OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE gzip": OK + b"transfer-encoding: gzip\r\n\r\nhello",
    "TE gzip, chunked": OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE chunked, identity": OK + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "TE in HTTP/1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a 204 with a length": b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
    "a 204 in chunks": b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a 100 with a body": b"HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\nhello" + OK + NOTHING,
    "another protocol, unasked": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "too many fields": OK + b"a: b\r\n" * 130 + NOTHING,
    "no size of a chunk": OK + b"transfer-encoding: chunked\r\n\r\n\r\n",
    "a size of a chunk that is no number": OK + b"transfer-encoding: chunked\r\n\r\nhello\r\n",
    "a size of a chunk below zero": OK + b"transfer-encoding: chunked\r\n\r\n-1\r\n",
    "a size of a chunk of 2^64": OK + b"transfer-encoding: chunked\r\n\r\n10000000000000000\r\n",
    "a bare LF behind the size of a chunk": OK + b"transfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
}
UNFINISHED = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 2",
    "half a head": OK + b"a: b\r\n",
    "all but the last byte": OK + b"content-length: 0\r\n\r",
    "only an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
    "an alert of TLS": b"\x15\x03\x03\x00\x02\x02\x46",
}


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in MALFORMED.items()])
def test_a_malformed_answer_is_a_502_and_the_end_of_its_connection(world, tls, raw):
    answer = ask(tls, f"/left-open/{raw.hex()}", method="POST")
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    assert answer.get("proxy-status") == "belfry; error=http_protocol_error"
    (request,) = world.origin.requests
    until(lambda: request.connection not in world.origin.peers, "its connection is still open")
    assert ask(tls, "/after").status == 200  # the client's own connection is none the worse
    assert ended(world, answer) == "upstream_broken"


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in UNFINISHED.items()])
def test_an_answer_that_ends_in_its_head_is_a_502(world, tls, raw):
    answer = ask(tls, f"/answers/{raw.hex()}", method="POST")
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    assert len(world.origin.requests) == 1


def test_a_head_that_is_too_large_is_a_502(world, tls):
    answer = ask(tls, "/head/100/70000", method="POST")
    assert (answer.status, answer.problem) == (502, "upstream_broken")


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_the_largest_head_that_is_taken_is_also_passed_on(world, alpn):
    with world.tls(OPEN, alpn=(alpn,)) as tls:
        if alpn == "h2":
            h2 = H2(tls)
            h2.connection.decoder.max_header_list_size = 1 << 20
            answer = h2.ask(OPEN, "/head/120/65400")
        else:
            answer = ask(tls, "/head/120/65400")
    assert answer.status == 200 and answer.body == b"ok"
    assert len([name for name, _ in answer.fields if name.startswith("x-")]) == 120


def test_interim_answers_are_not_the_answer(world, tls):
    raw = (b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 3 +
           OK + b"content-length: 4\r\n\r\nfine")
    answer = ask(tls, f"/answers/{raw.hex()}")
    assert (answer.status, answer.body, answer.get("link")) == (200, b"fine", None)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_an_answer_that_has_no_body_leaves_both_connections_usable(world, status, alpn):
    raw = f"HTTP/1.1 {status} Whatever\r\netag: \"1\"\r\n{'content-length: 50' if status == 304 else 'a: b'}\r\n\r\n"
    with world.tls(OPEN, alpn=(alpn,)) as tls:
        if alpn == "h2":
            h2 = H2(tls)
            answer, after = h2.ask(OPEN, f"/answers/{raw.encode().hex()}"), h2.ask(OPEN, "/after")
        else:
            tls.sendall(f"GET /answers/{raw.encode().hex()} HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode())
            answer, rest = read_answer(tls, to_head=True)
            assert not rest and answer.get("transfer-encoding") is None
            after = ask(tls, "/after")
    assert answer.status == status and answer.get("etag") == '"1"' and not answer.body
    assert after.body == b"GET /after 0"


def test_head_has_the_length_and_no_body(world, tls):
    answer = ask(tls, "/bytes/123456", method="HEAD")
    assert answer.status == 200 and answer.get("content-length") == "123456"
    assert ask(tls, "/after").body == b"GET /after 0"
    first, second = world.origin.requests
    assert first.method == "HEAD"


CUT = {
    "short": "/short",
    "half-chunked": "/half-chunked",
    "a bad chunk behind a good one": "/answers/" + (OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n").hex(),
    "chunks without their end": "/answers/" + (OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n").hex(),
    "a chunk longer than its size": "/answers/" + (OK + b"transfer-encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n").hex(),
    "a broken trailer": "/answers/" + (OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\na b: c\r\n\r\n").hex(),
}


@pytest.mark.parametrize("path", [pytest.param(path, id=name) for name, path in CUT.items()])
def test_an_answer_that_breaks_in_its_body_is_cut_and_never_looks_whole(world, path):
    with world.tls(OPEN) as tls:
        tls.sendall(f"GET {path} HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode())
        data = b"".join(iter(lambda: tls.recv(65536), b""))
    assert not data.endswith(b"0\r\n\r\n") and data.count(b"HTTP/1.1 ") <= 1
    assert b"content-length: 100" in data or b"transfer-encoding: chunked" in data or not data
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        stream = h2.begin(OPEN, path)
        with pytest.raises(Reset) as reset:
            h2.end(stream)
        assert reset.value.code == 2
        assert h2.ask(OPEN, "/after").status == 200
        if head := h2.streams[stream][0]:
            assert ended(world, dict(head)["belfry-reference"]) == "upstream_broken"


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_an_upstream_that_says_nothing_is_a_504(world, http):
    answer = world.ask(SMALL, "/never", http=http)
    assert (answer.status, answer.problem) == (504, "upstream_timeout")


def test_an_upstream_that_stops_in_its_answer_is_cut_after_its_idle_time(world):
    with H2(world.tls(SMALL, alpn=("h2",))) as h2:
        stream = h2.begin(SMALL, "/pause/5")
        with pytest.raises(Reset):
            h2.end(stream)
        assert h2.streams[stream][1] == b"ppppp"
        assert ended(world, dict(h2.streams[stream][0])["belfry-reference"]) == "upstream_timeout"
    world.origin.release.set()


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_a_client_that_stops_in_its_body_is_told_so_and_not_the_application(world, http):
    if http == "2":
        with H2(world.tls(SMALL, alpn=("h2",))) as h2:
            answer = h2.ask(SMALL, "/", method="POST", headers=[("content-length", "9")], body=b"half", end=False)
    else:
        with world.tls(SMALL) as tls:
            tls.sendall(f"POST / HTTP/1.1\r\nhost: {SMALL}\r\ncontent-length: 9\r\n\r\nhalf".encode())
            answer = read_answer(tls)[0]
            assert answer.get("connection") == "close"
    assert (answer.status, answer.problem) == (408, "request_timeout")


def test_refused_by_one_upstream_the_next_one_is_asked(world):
    with world.tls(PAIR) as tls:
        assert {ask(tls, f"/{i}", host=PAIR).status for i in range(40)} == {200}
    assert len(world.origin.requests) == 40


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", 'Basic realm="a", NTLM', "negotiate abc="])
def test_an_upstream_that_would_authenticate_its_connection_is_refused(world, tls, scheme):
    raw = f"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: {scheme}\r\ncontent-length: 0\r\n\r\n"
    answer = ask(tls, f"/left-open/{raw.encode().hex()}")
    assert (answer.status, answer.problem) == (502, "connection_auth")
    until(lambda: world.origin.requests[0].connection not in world.origin.peers, "its connection is still open")


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", "ntlm"])
def test_a_client_cannot_authenticate_a_connection_that_others_will_use(world, tls, scheme):
    assert ask(tls, "/", headers=f"authorization: {scheme} TlRMTVNTUAAB\r\n").status == 200
    assert world.origin.requests[0].get("authorization") is None


# The pool


def warm(world, tls):
    """A connection that is in the pool now; its number."""
    assert ask(tls, "/warm").status == 200
    return world.origin.seen("/warm")[-1].connection


def test_a_pooled_connection_is_used_again_and_ends_when_idle(alone):
    connects = alone.metric("belfry_upstream_connects_total")
    with alone.tls(OPEN) as tls:
        numbers = set()
        for i in range(20):
            assert ask(tls, f"/pool/{i}").status == 200
            numbers.add(alone.origin.requests[-1].connection)
        assert len(numbers) == 1 and alone.metric("belfry_upstream_connects_total") == connects + 1
        assert alone.metric("belfry_upstream_reused_total") >= 19
        until(lambda: not alone.origin.peers, "the idle connection is not closed")
        assert ask(tls, "/pool/again").status == 200
    assert alone.origin.requests[-1].connection not in numbers


@pytest.mark.parametrize("raw", [
    OK + b"connection: close\r\ncontent-length: 2\r\n\r\nok", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    OK + b"content-length: 2\r\n\r\nok" + b"x", OK + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + OK,
])
def test_a_connection_that_is_not_surely_clean_is_not_used_again(alone, raw):
    with alone.tls(OPEN) as tls:
        path = f"/left-open/{raw.hex()}"
        tls.sendall(f"GET {path} HTTP/1.1\r\nhost: {OPEN}\r\nconnection: close\r\n\r\n".encode())
        data = b"".join(iter(lambda: tls.recv(65536), b""))
        assert data.startswith(b"HTTP/1.1 200 ") and b"ok" in data
        assert data.count(b"HTTP/1.") == 1
        (request,) = alone.origin.seen(path)
        until(lambda: request.connection not in alone.origin.peers, "its connection is still open")


def test_get_is_asked_once_more_where_a_pooled_connection_had_died(alone):
    retries = alone.metric("belfry_upstream_retries_total")
    with alone.tls(OPEN) as tls:
        number = warm(alone, tls)
        answer = ask(tls, "/stale/get")
    assert answer.status == 200 and alone.metric("belfry_upstream_retries_total") == retries + 1
    first, second = alone.origin.seen("/stale/get")
    assert first.connection == number != second.connection


@pytest.mark.parametrize("body", [b"", b"once"])
def test_post_is_never_asked_twice(alone, body):
    with alone.tls(OPEN) as tls:
        number = warm(alone, tls)
        answer = ask(tls, f"/stale/post{len(body)}", method="POST", body=body)
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    (only,) = alone.origin.seen(f"/stale/post{len(body)}")
    assert only.connection == number


def test_put_whose_body_has_begun_is_never_asked_twice(alone):
    with alone.tls(OPEN) as tls:
        warm(alone, tls)
        assert ask(tls, "/stale/put", method="PUT", body=b"once").status == 502
    assert len(alone.origin.seen("/stale/put")) == 1


def test_get_on_a_fresh_connection_is_asked_once_more_and_no_more(alone):
    with alone.tls(OPEN) as tls:
        warm(alone, tls)
        until(lambda: not alone.origin.peers, "the idle connection is not closed")
        assert ask(tls, "/reset/fresh").status == 502
    assert len(alone.origin.seen("/reset/fresh")) == 2


POISON = OK + b"content-length: 6\r\n\r\npoison"


@pytest.mark.parametrize("first", ["the client", "the upstream"])
def test_bytes_that_nobody_asked_for_are_never_an_answer(alone, first):
    with alone.tls(OPEN) as tls:
        for i in range(5):
            peer = alone.origin.peers[warm(alone, tls)]
            with Stopped(alone):
                if first == "the upstream":
                    peer.sendall(POISON)
                tls.sendall(f"GET /clean/{i} HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode())
                if first == "the client":
                    peer.sendall(POISON)
            answer = read_answer(tls)[0]
            assert answer.body == f"GET /clean/{i} 0".encode()


@pytest.mark.parametrize("first", ["the client", "the upstream"])
def test_a_pooled_connection_that_has_ended_takes_no_post(alone, first):
    with alone.tls(OPEN) as tls:
        for i in range(5):
            peer = alone.origin.peers[warm(alone, tls)]
            path = f"/once/{first.split()[1]}/{i}"
            with Stopped(alone):
                if first == "the upstream":
                    peer.shutdown(socket.SHUT_RDWR)
                tls.sendall(f"POST {path} HTTP/1.1\r\nhost: {OPEN}\r\ncontent-length: 2\r\n\r\nok".encode())
                if first == "the client":
                    peer.shutdown(socket.SHUT_RDWR)
            answer = read_answer(tls)[0]
            assert answer.body == f"POST {path} 2".encode()
            assert len(alone.origin.seen(path)) == 1
