# SPDX-License-Identifier: EUPL-1.2
"""HTTP/1.1 over real TLS, where it needs more than one table row to tell; the rows are in smuggling.py."""

import ssl
import time

import pytest

from smuggling import CHUNKED, END, GET, HOST, SMUGGLED, UNFINISHED
from world import parse_answer

APPLICATION = "open.finance.localhost"  # lets everybody in: only the parser stands between


def filled(raw):
    return raw.replace(b"@HOST@", APPLICATION.encode())


def rows(table):
    return [pytest.param(*row, id=row[0]) for row in table]


def read_to_end(tls):
    data = b""
    while piece := tls.recv(65536):
        data += piece
    return data


def read_one(tls, rest=b""):
    """One answer with a Content-Length, and what came behind it."""
    while b"\r\n\r\n" not in rest:
        piece = tls.recv(65536)
        assert piece, f"the connection ended behind {rest!r}"
        rest += piece
    answer = parse_answer(rest)
    whole = rest.index(b"\r\n\r\n") + 4 + int(answer.get("content-length"))
    while len(rest) < whole:
        piece = tls.recv(65536)
        assert piece, "the connection ended in the middle of an answer"
        rest += piece
    return parse_answer(rest[:whole]), rest[whole:]


@pytest.mark.parametrize("name,raw,status,problem", rows(UNFINISHED))
def test_half_a_head_is_never_a_request(world, name, raw, status, problem):
    with world.tls(APPLICATION) as tls:
        tls.sendall(filled(raw))
        try:
            tls.unwrap()  # the gateway ends too; an answer would be data behind our end
        except (ssl.SSLError, OSError) as end:
            assert "APPLICATION_DATA" not in str(end)
    assert not world.origin.requests


def test_pipelined_requests_are_answered_in_order_and_each_once(world):
    targets = [f"/pipelined/{i}" for i in range(20)]
    raw = b"".join(b"GET " + t.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n" for t in targets)
    with world.tls(APPLICATION) as tls:
        tls.sendall(filled(raw))
        rest = b""
        for target in targets:
            answer, rest = read_one(tls, rest)
            assert answer.status == 200 and answer.body == f"GET {target} 0".encode()
        assert not rest
    assert [r.target for r in world.origin.requests] == targets


def test_a_bad_request_behind_a_good_one_spoils_only_itself(world):
    with world.tls(APPLICATION) as tls:
        tls.sendall(filled(GET + b"\r\n" + GET + b"A : b\r\n\r\n" + SMUGGLED))
        good, rest = read_one(tls)
        bad, rest = read_one(tls, rest)
        assert not rest + read_to_end(tls)
    assert good.status == 200 and (bad.status, bad.problem) == (400, "request_malformed")
    assert [r.target for r in world.origin.requests] == ["/"]


def test_a_body_is_not_a_request_whatever_it_looks_like(world):
    inner = filled(SMUGGLED)
    chunk = f"{len(inner):x}\r\n".encode() + inner + b"\r\n"
    length = filled(b"POST / HTTP/1.1\r\n" + HOST) + f"Content-Length: {len(inner)}\r\n\r\n".encode()
    with world.tls(APPLICATION) as tls:
        tls.sendall(length + inner + filled(CHUNKED) + chunk + END + filled(GET + b"\r\n"))
        rest = b""
        for expected in (f"POST / {len(inner)}", f"POST / {len(inner)}", "GET / 0"):
            answer, rest = read_one(tls, rest)
            assert answer.status == 200 and answer.body == expected.encode()
    assert [r.body for r in world.origin.requests] == [inner, inner, b""]


def test_extensions_and_trailers_of_chunks_end_at_the_gateway(world):
    with world.tls(APPLICATION) as tls:
        tls.sendall(filled(CHUNKED) + b'3;a="b"\r\nabc\r\n0;c\r\nBelfry-Assertion: forged\r\nX: y\r\n\r\n')
        answer, rest = read_one(tls)
    assert answer.status == 200 and answer.body == b"POST / 3" and not rest
    (seen,) = world.origin.requests
    assert seen.body == b"abc" and len(seen.all("belfry-assertion")) == 1 and seen.get("x") is None


def test_a_head_that_comes_byte_by_byte_is_read_like_any_other(world):
    with world.tls(APPLICATION) as tls:
        for byte in filled(b"GET /slow?a HTTP/1.1\r\n" + HOST + b"X: y\r\n\r\n"):
            tls.sendall(bytes([byte]))
        answer, rest = read_one(tls)
    assert answer.status == 200 and answer.body == b"GET /slow?a 0" and not rest


def test_a_head_that_drips_has_its_time_from_its_first_byte(new_world):
    world = new_world(workers=1, extra_config="timeouts:\n  head: 1s\n")
    with world.tls(APPLICATION) as tls:
        began = time.monotonic()
        tls.settimeout(0.2)  # the pace of the drip
        while time.monotonic() < began + 10:
            try:
                tls.sendall(b"G")
                data = tls.recv(65536)
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("each byte gives it more time")
    assert not data or parse_answer(data).problem == "request_timeout"
    assert time.monotonic() < began + 5
