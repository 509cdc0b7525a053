# SPDX-License-Identifier: EUPL-1.2
"""What stands around a body: 1xx before it, trailers behind it; and bodies that come bit by bit and are not held."""

import pytest

from callers import H2, Reset, read_answer
from world import World, until

OPEN = "open.finance.localhost"
BOTH = pytest.mark.parametrize("http", ["1.1", "2"])


def head(path, method="GET", more=""):
    return f"{method} {path} HTTP/1.1\r\nhost: {OPEN}\r\n{more}\r\n".encode()


def h2_to(world):
    return H2(world.tls(OPEN, alpn=("h2",)))


def read_until(tls, end):
    data = b""
    while not data.endswith(end):
        piece = tls.recv(1)
        assert piece, data
        data += piece
    return data


# Trailers


@BOTH
@pytest.mark.parametrize("path", ["/trailers", "/trailers/empty"])
def test_trailers_of_an_answer_pass_but_for_those_that_may_not_stand_there(world, http, path):
    body = b"" if path.endswith("empty") else b"hello"
    if http == "2":
        with h2_to(world) as h2:
            stream = h2.begin(OPEN, path)
            assert h2.end(stream).body == body
            assert h2.trailers[stream] == [("x-sum", "42"), ("x-empty", "")]
            assert h2.ask(OPEN, "/after").status == 200
    else:
        with world.tls(OPEN) as tls:
            tls.sendall(head(path))
            fields = read_until(tls, b"\r\n\r\n").lower()
            assert b"transfer-encoding: chunked\r\n" in fields and b"content-length" not in fields
            chunk = b"5\r\nhello\r\n" if body else b""
            assert read_until(tls, b"\r\n\r\n") == chunk + b"0\r\nx-sum: 42\r\nx-empty: \r\n\r\n"
            tls.sendall(head("/after"))
            assert read_answer(tls)[0].status == 200


TRAILERS = [("x-sum", "42"), ("belfry-assertion", "forged"), ("x-forwarded-for", "10.0.0.1"), ("content-length", "9")]


@BOTH
def test_trailers_of_a_request_pass_but_for_those_that_may_not_stand_there(world, http):
    if http == "2":
        with h2_to(world) as h2:
            stream = h2.begin(OPEN, "/echo/sum", method="POST", body=b"hello", end=False)
            h2.connection.send_headers(stream, TRAILERS[:3], end_stream=True)
            h2.flush()
            assert h2.end(stream).body == b"hello"
    else:
        lines = "".join(f"{name.title()}:  {value} \r\n" for name, value in TRAILERS)
        with world.tls(OPEN) as tls:
            tls.sendall(head("/echo/sum", "POST", "transfer-encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n" + lines.encode() + b"\r\n")
            assert read_answer(tls)[0].body == b"hello"
            tls.sendall(head("/after"))
            assert read_answer(tls)[0].status == 200
    (request,) = world.origin.seen("/echo/sum")
    assert request.trailers == [("x-sum", "42")] and len(request.all("belfry-assertion")) == 1


def test_trailers_have_a_limit(world):
    with h2_to(world) as h2:
        for trailers in ([("x", "y")] * 65, [("x", "y" * 8190)]):
            stream = h2.begin(OPEN, "/echo/much", method="POST", body=b"hello", end=False)
            h2.connection.send_headers(stream, trailers, end_stream=True)
            h2.flush()
            with pytest.raises(Reset):
                h2.end(stream)
        stream = h2.begin(OPEN, "/echo/enough", method="POST", body=b"hello", end=False)
        h2.connection.send_headers(stream, [("x", "y")] * 64, end_stream=True)
        h2.flush()
        assert h2.end(stream).body == b"hello"
    assert len(world.origin.seen("/echo/enough")[0].trailers) == 64
    for lines in (b"X: y\r\n" * 65, b"X: " + b"y" * 8190 + b"\r\n"):
        with world.tls(OPEN) as tls:
            tls.sendall(head("/echo/much", "POST", "transfer-encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n" + lines + b"\r\n")
            assert read_answer(tls)[0].status == 400


# 1xx


@BOTH
@pytest.mark.parametrize("status", [102, 103])
def test_what_an_application_says_early_comes_early(hinting, http, status):
    if http == "2":
        with h2_to(hinting) as h2:
            stream = h2.begin(OPEN, f"/early/{status}")
            while not h2.early.get(stream):
                h2.turn()
            (fields,) = h2.early[stream]
            assert fields[0] == (":status", str(status)) and h2.streams[stream][0] is None
            assert fields[1:] == [("link", "</style.css>; rel=preload"), ("link", "</b.css>")]
            hinting.origin.release.set()
            assert h2.end(stream).body == b"late"
    else:
        with hinting.tls(OPEN) as tls:
            tls.sendall(head(f"/early/{status}"))
            line, *fields = read_until(tls, b"\r\n\r\n").decode().split("\r\n")[:-2]
            assert line.startswith(f"HTTP/1.1 {status} ")
            assert fields == ["link: </style.css>; rel=preload", "link: </b.css>"]
            hinting.origin.release.set()
            assert read_answer(tls)[0].body == b"late"


@BOTH
@pytest.mark.parametrize("count, size, heard", [(300, 1, 100), (20, 50000, 2)], ids=["many", "large"])
def test_an_application_that_never_comes_to_its_answer_is_not_heard_for_ever(world, http, count, size, heard):
    path = f"/early-flood/{count}/{size}"
    if http == "2":
        with h2_to(world) as h2:
            stream = h2.begin(OPEN, path)
            assert h2.end(stream).body == b"ok" and len(h2.early[stream]) == heard
    else:
        with world.tls(OPEN) as tls:
            tls.sendall(head(path))
            heads = read_until(tls, b"\r\n\r\nok").split(b"\r\n\r\n")
            assert [h[:12] for h in heads] == [b"HTTP/1.1 103"] * heard + [b"HTTP/1.1 200", b"ok"]


# Bit by bit


@BOTH
def test_an_event_arrives_before_the_next_is_made(hinting, http):
    if http == "2":
        with h2_to(hinting) as h2:
            stream = h2.begin(OPEN, "/events")
            while h2.streams[stream][1] != b"data: 1\n\n":
                h2.turn()
            assert not h2.streams[stream][2]
            hinting.origin.release.set()
            assert h2.end(stream).body == b"data: 1\n\ndata: 2\n\n"
    else:
        with hinting.tls(OPEN) as tls:
            tls.sendall(head("/events"))
            assert read_until(tls, b"data: 1\n\n\r\n").endswith(b"\r\n\r\n9\r\ndata: 1\n\n\r\n")
            hinting.origin.release.set()
            assert read_until(tls, b"0\r\n\r\n") == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


@BOTH
def test_a_long_poll_waits_and_is_answered(hinting, http):
    if http == "2":
        with h2_to(hinting) as h2:
            stream = h2.begin(OPEN, "/wait/poll")
            until(lambda: hinting.origin.seen("/wait/poll"), "it did not arrive")
            assert h2.ask(OPEN, "/meanwhile").status == 200
            hinting.origin.release.set()
            assert h2.end(stream).status == 200
    else:
        with hinting.tls(OPEN) as tls:
            tls.sendall(head("/wait/poll"))
            until(lambda: hinting.origin.seen("/wait/poll"), "it did not arrive")
            hinting.origin.release.set()
            assert read_answer(tls)[0].status == 200


# Windows


def test_an_upload_window_may_be_a_mebibyte():
    with World(workers=1, extra_config="limits: { stream_window: 1MiB }\n") as world:
        world.begin()
        with h2_to(world) as h2:
            assert h2.ask(OPEN, "/first").status == 200
            assert h2.connection.remote_settings.initial_window_size == 1 << 20
            stream = h2.begin(OPEN, "/held/upload", method="POST", end=False)
            sent, size = 0, 12 << 20
            while room := h2.connection.local_flow_control_window(stream):
                piece = min(room, 16384, size - sent)
                if not piece:
                    break
                h2.connection.send_data(stream, b"b" * piece)
                sent += piece
                h2.flush()
                while not h2.connection.local_flow_control_window(stream) and is_opened(h2, stream):
                    pass
            world.origin.release.set()
            while sent < size:
                room = min(h2.connection.local_flow_control_window(stream), 16384, size - sent)
                if not room:
                    h2.turn()
                    continue
                h2.connection.send_data(stream, b"b" * room)
                sent += room
                h2.flush()
            h2.connection.end_stream(stream)
            h2.flush()
            assert h2.end(stream).body == f"POST /held/upload {size}".encode()


def is_opened(h2, stream):
    """Whether the window opens within a moment: else the application takes nothing, and the gateway holds all it may."""
    h2.tls.settimeout(0.5)
    try:
        h2.turn()
        return True
    except TimeoutError:
        return False
    finally:
        h2.tls.settimeout(10)


@pytest.fixture
def hinting(world):
    world.origin.clear()
    yield world
    world.origin.release.set()
    world.origin.clear()
