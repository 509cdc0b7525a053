# SPDX-License-Identifier: EUPL-1.2
"""RFC 9113 and RFC 7541 as a peer meets them that breaks their rules, frame by frame. What h2spec asks for is asked for
here too wherever Belfry, and not nghttp2 alone, answers for it (docs/development.md says how to run h2spec)."""

import signal

import pytest

from h2_raw import (ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,
                    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS, NO_ERROR, PADDED, PING, PREFACE, PRIORITISED, PRIORITY,
                    PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE,
                    Raw, frame, request, reset, settings, window_update)
from world import until

OPEN = "open.finance.localhost"
DATA_AGAIN = "DATA", lambda raw, stream: frame(DATA, END_STREAM, stream, b"late")
HEADERS_AGAIN = "HEADERS", lambda raw, stream: raw.headers(stream, request(OPEN, "/late"))
LATE = [pytest.param(make, id=name) for name, make in (DATA_AGAIN, HEADERS_AGAIN)]


def lives(raw, stream):
    """The connection still answers."""
    raw.get(stream, "/after")
    return raw.outcome(stream) == (200, b"GET /after 0")


@pytest.mark.parametrize("late", LATE)
def test_a_stream_that_has_ended_gets_no_more(world, late):
    with Raw(world, OPEN) as raw:
        raw.get(1, "/whole")
        assert raw.outcome(1) == (200, b"GET /whole 0")
        raw.send(late(raw, 1))
        assert raw.to_end() == STREAM_CLOSED
    assert not world.origin.seen("/late")


@pytest.mark.parametrize("late", LATE)
def test_a_stream_that_the_client_has_reset_gets_no_more(world, late):
    with Raw(world, OPEN) as raw:
        raw.send(raw.headers(1, request(OPEN, "/never/there", "POST"), end=False), reset(1), late(raw, 1))
        assert raw.to_end() == STREAM_CLOSED
    assert not world.origin.seen("/late")


def test_a_number_that_was_passed_over_is_no_new_stream(world):
    with Raw(world, OPEN) as raw:
        raw.get(5, "/first")
        raw.send(raw.headers(3, request(OPEN, "/late")), raw.headers(7, request(OPEN, "/late")))
        assert raw.to_end() == STREAM_CLOSED
    assert not world.origin.seen("/late")


def test_what_was_under_way_to_a_stream_that_we_reset_harms_nobody(world):
    with Raw(world, OPEN) as raw:
        raw.send(raw.headers(1, request(OPEN, "/bad", "POST", ("X", "upper case")), end=False))
        assert raw.outcome(1) == ("reset", PROTOCOL_ERROR)
        raw.send(frame(DATA, 0, 1, b"more"), frame(DATA, END_STREAM, 1, b"end"))
        assert lives(raw, 3)


def test_what_follows_a_refused_stream_at_once_harms_nobody(new_world):
    world = new_world(workers=1, extra_config="limits:\n  streams: 2\n")
    with Raw(world, OPEN) as raw:  # our SETTINGS are not yet acknowledged: RFC 9113 §5.1.2
        raw.send(*(raw.headers(s, request(OPEN, f"/wait/{s}", "POST"), end=False) for s in (1, 3, 5)),
                 frame(DATA, END_STREAM, 5, b"body"))
        assert raw.outcome(5) == ("reset", REFUSED_STREAM)
        raw.send(frame(DATA, END_STREAM, 1, b""), frame(DATA, END_STREAM, 3, b""))
        world.origin.release.set()
        assert raw.outcome(1) == (200, b"POST /wait/1 0") and raw.outcome(3) == (200, b"POST /wait/3 0")


def test_what_follows_a_stream_that_came_behind_our_goaway_harms_nobody(new_world):
    world = new_world(workers=1)
    with Raw(world, OPEN) as raw:
        raw.get(1, "/wait/there")
        until(lambda: world.origin.seen("/wait/there"), "the request did not arrive")
        world.gateway.send_signal(signal.SIGTERM)
        while len(raw.of(0, GOAWAY)) < 2:  # RFC 9113 §6.8: the second names the last stream
            assert raw.turn()
        raw.send(raw.headers(3, request(OPEN, "/late", "POST"), end=False), frame(DATA, END_STREAM, 3, b"body"))
        world.origin.release.set()
        assert raw.outcome(1) == (200, b"GET /wait/there 0")
        assert not world.origin.seen("/late")


def trailers(raw, more, end=True):
    return [raw.headers(1, request(OPEN, "/echo", "POST"), end=False), frame(DATA, 0, 1, b"x"),
            raw.headers(1, more, end=end)]


# Rows of (name, frames behind the preface, the connection's end): "connection errors" of RFC 9113 and RFC 7541.
GET = request(OPEN)
REFUSED = request(OPEN, "/a/../b")  # a good head, of which no application hears
FATAL = [
    ("a preface that is none", None, b"GET / HTTP/1.1\r\nHost: " + OPEN.encode() + b"\r\n\r\n", None),
    ("DATA on stream 0", lambda r: [frame(DATA, 0, 0, b"x")], b"", PROTOCOL_ERROR),
    ("DATA on a stream that never was", lambda r: [frame(DATA, END_STREAM, 1, b"x")], b"", PROTOCOL_ERROR),
    ("HEADERS on stream 0", lambda r: [r.headers(0, GET)], b"", PROTOCOL_ERROR),
    ("HEADERS on a server's number", lambda r: [r.headers(2, GET)], b"", PROTOCOL_ERROR),
    ("a frame inside a head", lambda r: [r.headers(1, GET, flags=0), frame(PRIORITY, 0, 1, bytes(5))], b"",
     PROTOCOL_ERROR),
    ("another stream inside a head", lambda r: [r.headers(1, GET, flags=0), r.headers(3, GET)], b"", PROTOCOL_ERROR),
    ("an unknown frame inside a head", lambda r: [r.headers(1, GET, flags=0), frame(0x16, 0, 1, b"x")], b"",
     PROTOCOL_ERROR),
    ("CONTINUATION behind a whole head", lambda r: [r.headers(1, REFUSED, end=False), frame(CONTINUATION, 4, 1)], b"",
     PROTOCOL_ERROR),
    ("CONTINUATION of nothing", lambda r: [frame(CONTINUATION, END_HEADERS, 1)], b"", PROTOCOL_ERROR),
    ("more padding than frame", lambda r: [frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff\x82")], b"", PROTOCOL_ERROR),
    ("a frame that is too large", lambda r: [frame(DATA, 0, 1, bytes(16385))], b"", FRAME_SIZE_ERROR),
    ("SETTINGS on a stream", lambda r: [frame(SETTINGS, 0, 1)], b"", PROTOCOL_ERROR),
    ("SETTINGS of five bytes", lambda r: [frame(SETTINGS, 0, 0, bytes(5))], b"", FRAME_SIZE_ERROR),
    ("SETTINGS that acknowledge with a payload", lambda r: [frame(SETTINGS, ACK, 0, bytes(6))], b"", FRAME_SIZE_ERROR),
    ("ENABLE_PUSH of two", lambda r: [settings((2, 2))], b"", PROTOCOL_ERROR),
    ("a window of 2^31", lambda r: [settings((4, 2**31))], b"", FLOW_CONTROL_ERROR),
    ("a frame size of 16383", lambda r: [settings((5, 16383))], b"", PROTOCOL_ERROR),
    ("a frame size of 2^24", lambda r: [settings((5, 2**24))], b"", PROTOCOL_ERROR),
    ("PING on a stream", lambda r: [frame(PING, 0, 1, bytes(8))], b"", PROTOCOL_ERROR),
    ("PING of six bytes", lambda r: [frame(PING, 0, 0, bytes(6))], b"", FRAME_SIZE_ERROR),
    ("GOAWAY on a stream", lambda r: [frame(GOAWAY, 0, 1, bytes(8))], b"", PROTOCOL_ERROR),
    ("PUSH_PROMISE from a client", lambda r: [frame(PUSH_PROMISE, 4, 1, bytes(4))], b"", PROTOCOL_ERROR),
    ("RST_STREAM on stream 0", lambda r: [reset(0)], b"", PROTOCOL_ERROR),
    ("RST_STREAM of a stream that never was", lambda r: [reset(1)], b"", PROTOCOL_ERROR),
    ("RST_STREAM of three bytes", lambda r: [r.headers(1, REFUSED, end=False), frame(RST_STREAM, 0, 1, bytes(3))], b"",
     FRAME_SIZE_ERROR),
    ("PRIORITY on stream 0", lambda r: [frame(PRIORITY, 0, 0, bytes(5))], b"", PROTOCOL_ERROR),
    ("PRIORITY of four bytes", lambda r: [frame(PRIORITY, 0, 1, bytes(4))], b"", FRAME_SIZE_ERROR),
    ("a stream that depends on itself", lambda r: [frame(PRIORITY, 0, 1, b"\x80\0\0\1\x10")], b"", PROTOCOL_ERROR),
    ("WINDOW_UPDATE of nothing", lambda r: [window_update(0, 0)], b"", PROTOCOL_ERROR),
    ("WINDOW_UPDATE of nothing on a stream", lambda r: [r.headers(1, REFUSED, end=False), window_update(1, 0)], b"",
     PROTOCOL_ERROR),
    ("DATA behind a stream's end", lambda r: [r.headers(1, REFUSED), frame(DATA, 0, 1, b"x")], b"", STREAM_CLOSED),
    ("HEADERS behind a stream's end", lambda r: [r.headers(1, REFUSED), r.headers(1, GET)], b"", STREAM_CLOSED),
    ("WINDOW_UPDATE of three bytes", lambda r: [frame(WINDOW_UPDATE, 0, 0, bytes(3))], b"", FRAME_SIZE_ERROR),
    ("WINDOW_UPDATE of a stream that never was", lambda r: [window_update(1, 1)], b"", PROTOCOL_ERROR),
    ("a connection's window past 2^31", lambda r: [window_update(0, 2**31 - 1)], b"", FLOW_CONTROL_ERROR),
    ("an index beyond the tables", lambda r: [frame(HEADERS, 5, 1, b"\xff\x80\x7f")], b"", COMPRESSION_ERROR),
    ("an index of zero", lambda r: [frame(HEADERS, 5, 1, b"\x80")], b"", COMPRESSION_ERROR),
    ("a table larger than we allow", lambda r: [frame(HEADERS, 5, 1, b"\x3f\xe1\xff\x0f")], b"", COMPRESSION_ERROR),
    ("Huffman padding of eight bits", lambda r: [frame(HEADERS, 5, 1, bytes.fromhex("0085f2b24a84ff8449509fff"))], b"",
     COMPRESSION_ERROR),
    ("Huffman's EOS in a string", lambda r: [frame(HEADERS, 5, 1, b"\x00\x87" + bytes.fromhex("fffffffff2b24a")
                                                   + b"\x01a")], b"", COMPRESSION_ERROR),
]


@pytest.mark.parametrize("make,begin,code", [pytest.param(*row[1:], id=row[0]) for row in FATAL])
def test_a_broken_rule_of_the_connection_ends_it_by_its_name(world, make, begin, code):
    with Raw(world, OPEN, begin=begin or PREFACE + settings()) as raw:
        raw.send(*(make(raw) if make else []))
        assert raw.to_end() == code
    assert not world.origin.requests


# The same of a stream: it is reset, and the connection lives.
STREAM_ERRORS = [
    ("a window past 2^31", lambda r: [r.headers(1, request(OPEN, "/never/w", "POST"), end=False),
                                      window_update(1, 2**31 - 1)], FLOW_CONTROL_ERROR),
    ("less than announced", lambda r: [r.headers(1, request(OPEN, "/", "POST", ("content-length", "2")), end=False),
                                       frame(DATA, END_STREAM, 1, b"x")], PROTOCOL_ERROR),
    ("more than announced", lambda r: [r.headers(1, request(OPEN, "/", "POST", ("content-length", "1")), end=False),
                                       frame(DATA, END_STREAM, 1, b"xy")], PROTOCOL_ERROR),
    ("a body where none was announced", lambda r: [r.headers(1, request(OPEN, "/", "POST", ("content-length", "1")))],
     PROTOCOL_ERROR),
    ("a pseudo-header in trailers", lambda r: trailers(r, [(":method", "GET")]), PROTOCOL_ERROR),
    ("a field in upper case in trailers", lambda r: trailers(r, [("X", "y")]), PROTOCOL_ERROR),
    ("trailers that do not end it", lambda r: trailers(r, [("x", "y")], end=False), PROTOCOL_ERROR),
]


@pytest.mark.parametrize("make,code", [pytest.param(*row[1:], id=row[0]) for row in STREAM_ERRORS])
def test_a_broken_rule_of_a_stream_resets_it_and_only_it(world, make, code):
    with Raw(world, OPEN) as raw:
        raw.send(*make(raw))
        assert raw.outcome(1) == ("reset", code)
        assert lives(raw, 3)


def test_what_is_unknown_is_passed_over(world):
    with Raw(world, OPEN) as raw:
        raw.send(frame(0x16, 0xff, 0, bytes(8)), settings((0x99, 1)), frame(PING, 0, 0, b"belfry.."),
                 frame(PRIORITY, 0, 9, b"\0\0\0\1\xff"), window_update(0, 1))
        assert lives(raw, 1)
        assert [f[3] for f in raw.of(0, PING) if f[1] & ACK] == [b"belfry.."]


def test_priorities_that_nobody_reads_are_counted_all_the_same(world):
    with Raw(world, OPEN) as raw:
        raw.send(*(frame(PRIORITY, 0, 2 * i + 1, bytes(5)) for i in range(1000)))
        assert raw.to_end() == ENHANCE_YOUR_CALM


def test_a_head_in_many_frames_with_padding_is_one_head(world):
    with Raw(world, OPEN) as raw:
        block = raw.block(request(OPEN, "/pieces"))
        raw.send(frame(HEADERS, END_STREAM | PADDED | PRIORITISED, 1, b"\x03" + bytes(4) + b"\x10" + block[:9] + bytes(3)),
                 frame(CONTINUATION, 0, 1), frame(CONTINUATION, 0, 1, block[9:20]),
                 frame(CONTINUATION, END_HEADERS, 1, block[20:]))
        assert raw.outcome(1) == (200, b"GET /pieces 0")


@pytest.mark.parametrize("step", [1, 5, 9, 10])
def test_frames_that_come_in_pieces_are_read_like_any_others(world, step):
    with Raw(world, OPEN, begin=b"") as raw:
        whole = PREFACE + settings() + raw.headers(1, request(OPEN, "/echo", "POST"), end=False)
        whole += frame(DATA, 0, 1, b"abc") + frame(DATA, END_STREAM, 1) + raw.headers(3, request(OPEN, "/next"))
        for at in range(0, len(whole), step):
            raw.send(whole[at : at + step])
        assert raw.outcome(1) == (200, b"abc") and raw.outcome(3) == (200, b"GET /next 0")
        raw.send(*(bytes([b]) for b in frame(DATA, END_STREAM, 1, b"late")))
        assert raw.to_end() == STREAM_CLOSED


def test_ones_own_end_is_no_error(world):
    with Raw(world, OPEN) as raw:
        raw.get(1, "/never/there")
        until(lambda: world.origin.seen("/never/there"), "the request did not arrive")
        raw.send(reset(1, CANCEL), reset(1, CANCEL), window_update(1, 10), frame(PRIORITY, 0, 1, b"\0\0\0\0\0"))
        assert lives(raw, 3)
        raw.send(frame(GOAWAY, 0, 0, bytes(8)))
        assert raw.to_end() in (None, NO_ERROR)
