# SPDX-License-Identifier: EUPL-1.2
"""Applications that speak HTTP/2: what they are asked, how their connections are shared and end, and what is made of
those that refuse, reset, stall, flood or lie."""

import struct
import threading

import pytest
from h2.settings import SettingCodes

from callers import H2, Reset, read_answer
from h2_origin import CONNECT_PROTOCOL, H2Origin, frame
from world import World, until

H2C = "h2c.finance.localhost"
QUICK = "quick.finance.localhost"  # waits 1 s for an answer's first byte and 2 s for its next ones
APPLICATION = """
  - id: {id}
    host: {id}.finance.localhost
    device: none
    upstreams: [h2c://127.0.0.1:{port}]
    limits: {{ body: 2GiB }}
    timeouts: {{ {timeouts} }}
    websocket: {{}}
    rules:
      - id: everybody
        permit: {{}}
"""


class H2World(World):
    def __init__(self, origin, **more):
        super().__init__(hosts=[H2C, QUICK], **more)
        self.h2 = origin

    def write_policy(self):
        super().write_policy()
        with open(self.folder / "policy/finance.yaml", "a") as file:
            for name, timeouts in (("h2c", "idle: 20s, first_byte: 5s"), ("quick", "idle: 2s, first_byte: 1s")):
                file.write(APPLICATION.format(id=name, port=self.h2.port, timeouts=timeouts))


@pytest.fixture(scope="module")
def world():
    """One worker, so that its connections can be counted."""
    with H2World(H2Origin(settings={CONNECT_PROTOCOL: 1}), workers=1) as made:
        yield made.begin()
        assert made.stop("gateway", patience_s=20) == 0
        assert "Sanitizer" not in made.log_text() and "runtime error" not in made.log_text(), made.log_text()[-6000:]


@pytest.fixture(autouse=True)
def clean(world):
    world.h2.release.set()
    until(lambda: world.metric("belfry_requests_open") == 0, "a request is still under way")
    world.h2.clear()


@pytest.fixture
def h2(world):
    with H2(world.tls(H2C, alpn=("h2",))) as made:
        yield made


@pytest.fixture
def tls(world):
    with world.tls(H2C) as made:
        yield made


def ask(tls, path, method="GET", headers="", body=b"", host=H2C):
    length = f"content-length: {len(body)}\r\n" if body else ""
    tls.sendall(f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}{length}\r\n".encode() + body)
    return read_answer(tls, to_head=method == "HEAD")[0]


def ended(world, answer):
    """The end's event."""
    reference = answer if isinstance(answer, str) else answer.get("belfry-reference")
    (event,) = until(lambda: [e for e in world.events(reference) if e["event.action"] == "access-end"], "no end's event")
    return event


def measure(world):
    world.measured = world.rss_kib()


def grown(world):
    """KiB since. A sanitizer keeps what is freed: its figures say nothing."""
    return 0 if "asan" in str(world.belfry) else world.rss_kib() - world.measured


# What it is asked


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_the_request_is_the_same_over_h2(world, http):
    answer = world.ask(H2C, "/a/b?c=d", http=http, headers=("x-mine: 1", "cookie: a=b", "connection: x-hop", "x-hop: 2")
                       if http == "1.1" else ("x-mine: 1", "cookie: a=b"))
    assert answer.status == 200 and answer.body == b"GET /a/b?c=d 0" and "2 belfry" in answer.get("via")
    (seen,) = world.h2.requests
    assert seen.fields[:4] == [(":method", "GET"), (":scheme", "http"), (":authority", H2C), (":path", "/a/b?c=d")]
    assert seen.get("x-mine") == "1" and seen.get("cookie") == "a=b" and seen.get("x-hop") is None
    assert seen.get("belfry-assertion").count(".") == 2 and seen.get("forwarded").startswith("for=127.0.0.1")
    assert seen.get("te") is None and seen.get("connection") is None and seen.get("content-length") is None
    assert seen.ended and seen.body == b""


def test_trailers_are_asked_for_where_the_client_can_take_them(world, h2):
    assert h2.ask(H2C, "/", headers=[("te", "trailers")]).status == 200
    assert world.h2.requests[0].get("te") == "trailers"


@pytest.mark.parametrize("length", [0, 1, 65535, 65536, 1000000])
def test_a_body_of_known_length_arrives_whole(world, tls, length):
    answer = ask(tls, "/up", method="POST", body=b"u" * length)
    assert answer.body == f"POST /up {length}".encode()
    assert world.h2.requests[0].get("content-length") == (str(length) if length else None)


def test_a_chunked_body_arrives_whole(world, tls):
    tls.sendall(f"POST /up HTTP/1.1\r\nhost: {H2C}\r\ntransfer-encoding: chunked\r\n\r\n".encode() +
                b"2710\r\n" + b"c" * 10000 + b"\r\n0\r\n\r\n")
    assert read_answer(tls)[0].body == b"POST /up 10000"
    assert world.h2.requests[0].get("content-length") is None


def test_head_has_the_length_and_no_body(world, tls):
    answer = ask(tls, "/bytes/123456", method="HEAD")
    assert answer.status == 200 and answer.get("content-length") == "123456"
    assert ask(tls, "/after").status == 200


@pytest.mark.parametrize("status", [204, 304, 404])
def test_an_answer_without_a_body_ends_with_its_head(world, h2, status):
    answer = h2.ask(H2C, f"/status/{status}")
    assert answer.status == status and not answer.body


def test_an_answer_that_ended_with_its_head_has_a_length_over_h1(world, tls):
    assert ask(tls, "/status/404").get("content-length") == "0"
    assert ask(tls, "/after").status == 200


@pytest.mark.parametrize("path", ["/bytes/3000000", "/unannounced/3000000"])
@pytest.mark.parametrize("http", ["1.1", "2"])
def test_a_long_answer_arrives_whole(world, path, http):
    answer = world.ask(H2C, path, http=http)
    assert answer.status == 200 and answer.body.endswith(b"x") and answer.body.count(b"x" * 1000) == 3000


def test_what_would_set_our_names_does_not_pass(world, tls):
    answer = ask(tls, "/fields")
    assert answer.all("set-cookie") == ["theirs=1"] and answer.get("belfry-assertion") is None
    assert answer.get("x-kept") == "yes"


def test_both_bodies_flow_at_once(world, h2):
    stream = h2.begin(H2C, "/duplex", method="POST", body=b"one", end=False)
    for word in (b"two", b"three"):
        before = len(h2.streams[stream][1])
        while len(h2.streams[stream][1]) == before or not h2.streams[stream][0]:
            h2.turn()
        h2.connection.send_data(stream, word)
        h2.flush()
    h2.connection.end_stream(stream)
    h2.flush()
    assert h2.end(stream).body == b"onetwothree"


def test_the_largest_head_passes_and_a_larger_one_is_a_502(world, tls):
    answer = ask(tls, "/head/100/64000")
    assert answer.status == 200 and len([name for name, _ in answer.fields if name.startswith("x-")]) == 100
    answer = ask(tls, "/head/100/66000")
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    assert ask(tls, "/after").status == 200


# Its connections


def test_all_requests_share_one_connection(world):
    connects = world.metric("belfry_upstream_connects_total")
    with H2(world.tls(H2C, alpn=("h2",))) as h2:
        assert h2.ask(H2C, "/warm").status == 200
        connects = world.metric("belfry_upstream_connects_total")
        streams = [h2.begin(H2C, f"/wait/{i}") for i in range(80)]
        until(lambda: len(world.h2.requests) == 81, "they are not asked at once")
        world.h2.release.set()
        assert {h2.end(stream).status for stream in streams} == {200}
    assert world.metric("belfry_upstream_connects_total") == connects
    assert len({r.peer.number for r in world.h2.requests}) == 1


def test_more_than_a_hundred_at_once_take_a_second_connection(world):
    with H2(world.tls(H2C, alpn=("h2",))) as one, H2(world.tls(H2C, alpn=("h2",))) as two:
        streams = [(h2, h2.begin(H2C, f"/wait/{i}")) for i in range(70) for h2 in (one, two)]
        until(lambda: len(world.h2.requests) == 140, "they are not asked at once")
        by_peer = [r.peer.number for r in world.h2.requests]
        assert len(set(by_peer)) == 2 and max(by_peer.count(n) for n in set(by_peer)) == 100
        world.h2.release.set()
        assert {h2.end(stream).status for h2, stream in streams} == {200}


def test_no_more_streams_are_begun_than_it_allows(new_world):
    origin = H2Origin(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 3})
    with H2World(origin, workers=1) as world:
        world.begin()
        with H2(world.tls(H2C, alpn=("h2",))) as h2:
            assert h2.ask(H2C, "/warm").status == 200
            streams = [h2.begin(H2C, f"/wait/{i}") for i in range(10)]
            until(lambda: len(origin.requests) == 11, "they are not asked at once")
            numbers = [r.peer.number for r in origin.requests if r.target != "/warm"]
            assert max(numbers.count(n) for n in numbers) == 3 and len(set(numbers)) == 4
            origin.release.set()
            assert {h2.end(stream).status for stream in streams} == {200}


def test_an_idle_connection_ends_with_a_goodbye():
    origin = H2Origin()
    with H2World(origin, workers=1, extra_config="timeouts: { upstream_idle: 1s }\n") as world:
        world.begin()
        with world.tls(H2C) as tls:
            assert ask(tls, "/one").status == 200
            (peer,) = origin.peers.values()
            until(lambda: not origin.peers, "the idle connection is not closed")
            assert peer.goaway == 0
            assert ask(tls, "/two").status == 200


def test_a_connection_that_goes_away_ends_its_streams_well_and_gets_no_more(world, tls):
    assert ask(tls, "/last").status == 200
    first = world.h2.requests[0].peer
    until(lambda: first.number not in world.h2.peers, "it is still open")
    assert ask(tls, "/after").status == 200
    assert world.h2.requests[1].peer is not first


def test_an_endpoint_that_is_no_longer_one_loses_its_connections_when_they_are_idle(world, tls):
    assert ask(tls, "/one").status == 200
    (request,) = world.h2.requests
    with H2(world.tls(H2C, alpn=("h2",))) as h2:
        stream = h2.begin(H2C, "/pause")
        while not h2.streams[stream][1]:
            h2.turn()
        world.update("finance", lambda text: text.replace(f"h2c://127.0.0.1:{world.h2.port}", f"h2c://127.0.0.1:{world.dead_port}"))
        assert ask(tls, "/two").status == 502
        assert request.peer.number in world.h2.peers  # for that one stream
        world.h2.release.set()
        assert h2.end(stream).body == b"ppppp!"
        until(lambda: request.peer.number not in world.h2.peers, "it is still open")
    world.update("finance", lambda text: text.replace(f"h2c://127.0.0.1:{world.dead_port}", f"h2c://127.0.0.1:{world.h2.port}"))
    assert ask(tls, "/three").status == 200


# What is tried again


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_stream_was_not_handled_and_is_asked_again(world, tls, method):
    answer = ask(tls, "/refuse", method=method)
    assert answer.body == f"{method} /refuse 0".encode() and len(world.h2.requests) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stream_above_the_last_of_a_goaway_is_asked_again(world, tls, method):
    answer = ask(tls, "/goaway-below", method=method)
    assert answer.body == f"{method} /goaway-below 0".encode()
    first, second = world.h2.requests
    assert first.peer is not second.peer


def test_always_refused_is_a_502(world, tls):
    answer = ask(tls, "/refuse-always", method="POST")
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    assert 1 < len(world.h2.requests) < 5


@pytest.mark.parametrize("code", [2, 8, 0, 13])
def test_a_reset_post_is_never_asked_twice(world, tls, code):
    answer = ask(tls, f"/rst/{code}", method="POST")
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    assert answer.get("proxy-status") == "belfry; error=http_protocol_error"
    assert len(world.h2.requests) == 1 and world.h2.requests[0].peer.number in world.h2.peers


def test_get_is_asked_once_more_where_a_shared_connection_had_died(world, tls):
    assert ask(tls, "/warm").status == 200
    answer = ask(tls, "/stale")
    assert answer.status == 200
    first, second = world.h2.seen("/stale")
    assert first.peer is world.h2.requests[0].peer is not second.peer


def test_post_is_not_where_a_shared_connection_dies(world, tls):
    assert ask(tls, "/warm").status == 200
    assert ask(tls, "/end", method="POST").status == 502
    assert len(world.h2.seen("/end")) == 1


def test_a_refused_connection_is_a_502_and_one_that_is_no_h2_too(world, tls):
    port = world.h2.port
    world.update("finance", lambda text: text.replace(f"h2c://127.0.0.1:{port}", f"h2c://127.0.0.1:{world.dead_port}"))
    answer = ask(tls, "/")
    assert (answer.status, answer.problem) == (502, "upstream_refused")
    world.update("finance", lambda text: text.replace(f"h2c://127.0.0.1:{world.dead_port}", f"h2c://127.0.0.1:{world.origin.port}"))
    answer = ask(tls, "/")
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    world.update("finance", lambda text: text.replace(f"h2c://127.0.0.1:{world.origin.port}", f"h2c://127.0.0.1:{port}"))
    assert ask(tls, "/").status == 200


# Answers that break


@pytest.mark.parametrize("path", ["/half-rst", "/half-end", "/short"])
def test_an_answer_that_breaks_in_its_body_is_cut_and_never_looks_whole(world, h2, path):
    stream = h2.begin(H2C, path)
    with pytest.raises(Reset):
        h2.end(stream)
    assert h2.ask(H2C, "/after").status == 200
    with world.tls(H2C) as tls:
        tls.sendall(f"GET {path} HTTP/1.1\r\nhost: {H2C}\r\n\r\n".encode())
        data = b"".join(iter(lambda: tls.recv(65536), b""))
    assert not data.endswith(b"0\r\n\r\n")


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


STATUS = b"\x88"  # 200, in the static table
BAD_HEADS = {
    "no status": literal(b"a", b"b"),
    "a status of two digits": literal(b":status", b"20"),
    "a status below 100": literal(b":status", b"099"),
    "a status that is no number": literal(b":status", b"2x0"),
    "101": literal(b":status", b"101"),
    "two statuses": STATUS * 2,
    "a status behind a field": literal(b"a", b"b") + STATUS,
    "another pseudo-header": STATUS + literal(b":path", b"/"),
    "an interim answer that ends the stream": literal(b":status", b"103"),
    "a name with a capital": STATUS + literal(b"Abc", b"d"),
    "a name with a space": STATUS + literal(b"a b", b"c"),
    "a name with a colon": STATUS + literal(b"a:b", b"c"),
    "an empty name": STATUS + literal(b"", b"c"),
    "CR in a value": STATUS + literal(b"a", b"b\rc"),
    "LF in a value": STATUS + literal(b"a", b"b\nset-cookie: c"),
    "NUL in a value": STATUS + literal(b"a", b"b\0c"),
    "a space before a value": STATUS + literal(b"a", b" b"),
    "connection": STATUS + literal(b"connection", b"close"),
    "transfer-encoding": STATUS + literal(b"transfer-encoding", b"chunked"),
    "keep-alive": STATUS + literal(b"keep-alive", b"timeout=5"),
    "upgrade": STATUS + literal(b"upgrade", b"h2c"),
    "CL twice": STATUS + literal(b"content-length", b"0") * 2,
    "CL as a list": STATUS + literal(b"content-length", b"0, 0"),
    "CL with a plus": STATUS + literal(b"content-length", b"+0"),
    "CL below zero": STATUS + literal(b"content-length", b"-1"),
    "CL without a value": STATUS + literal(b"content-length", b""),
    "CL of more than comes": STATUS + literal(b"content-length", b"5"),
    "CL of 2^64": STATUS + literal(b"content-length", b"18446744073709551616"),
    "too many fields": STATUS + literal(b"a", b"b") * 200,
}


@pytest.mark.parametrize("block", [pytest.param(block, id=name) for name, block in BAD_HEADS.items()])
def test_a_malformed_head_is_a_502_of_that_stream_alone(world, tls, block):
    assert ask(tls, "/warm").status == 200
    answer = ask(tls, f"/raw/{block.hex()}", method="POST")
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    assert answer.get("proxy-status") == "belfry; error=http_protocol_error"
    assert ask(tls, "/after").status == 200
    assert len({r.peer.number for r in world.h2.requests}) == 1
    assert len(world.h2.requests) == 3


BAD_FRAMES = {
    "no frame of HTTP/2": b"HTTP/1.1 200 OK\r\n\r\n",
    "DATA on stream 0": frame(0, 0, 0, b"x"),
    "a frame that is too large": struct.pack(">I", 16385)[1:] + bytes(6) + b"x" * 16385,
    "a push": frame(5, 4, 1, struct.pack(">I", 2) + STATUS),
    "a reset of an idle stream": frame(3, 0, 99999, bytes(4)),
    "SETTINGS of five bytes": frame(4, 0, 0, b"x" * 5),
    "a CONTINUATION alone": frame(9, 4, 1, STATUS),
    "an HPACK index that is not there": frame(1, 5, 1, b"\xff\xff\x7f"),
    "a window beyond 2^31": frame(8, 0, 0, struct.pack(">I", 0x7fffffff)) * 2,
    "too many CONTINUATIONs": frame(1, 0, 1, STATUS) + frame(9, 0, 1, literal(b"a", b"b")) * 20,
}


def test_a_head_that_unpacks_to_far_too_much_is_looked_at_no_further(world, tls):
    """A byte of HPACK can stand for 4 KiB (RFC 7541 §7.3): the stream is given up in the middle of its head."""
    answer = ask(tls, "/bomb")
    assert answer.status == 502
    (end,) = until(lambda: [e for e in world.events(answer.get("belfry-reference"))
                            if e["event.action"] == "access-end"], "no end is told")
    assert end["belfry.detail"] == "its answer breaks the rules of HTTP/2"
    world.h2.end()  # whose library does not know of the field in the table
    assert ask(tls, "/after").status == 200


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in BAD_FRAMES.items()])
def test_a_broken_connection_is_a_502_and_its_end(world, tls, raw):
    world.h2.end()
    answer = ask(tls, f"/frames/{raw.hex()}/1", method="POST") if len(raw) < 2000 else None
    if answer is None:  # longer than a target may be
        tls.sendall(f"POST /never HTTP/1.1\r\nhost: {H2C}\r\n\r\n".encode())
        until(lambda: world.h2.requests, "it is not asked")
        world.h2.requests[0].raw(raw)
        answer = read_answer(tls)[0]
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    (request,) = world.h2.requests
    until(lambda: request.peer.number not in world.h2.peers, "its connection is still open")
    assert ask(tls, "/after").status == 200


FLOODS = {
    "PING": frame(6, 0, 0, bytes(8)),
    "SETTINGS": frame(4, 0, 0),
    "empty DATA": frame(0, 0, 1),
    "PRIORITY": frame(2, 0, 1, bytes(5)),
}


@pytest.mark.parametrize("piece", [pytest.param(piece, id=name) for name, piece in FLOODS.items()])
def test_a_flood_ends_its_connection_and_nobody_elses(world, tls, piece):
    world.h2.end()
    measure(world)
    answer = ask(tls, f"/frames/{piece.hex()}/60000", method="POST")
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    (request,) = world.h2.requests
    until(lambda: request.peer.number not in world.h2.peers, "its connection is still open")
    assert ask(tls, "/after").status == 200
    assert grown(world) < 20000


def test_interim_answers_without_end_cost_nothing(world, h2):
    answer = h2.ask(H2C, "/many-103/2000")
    assert answer.status == 200


def test_an_upstream_that_says_nothing_is_a_504(world):
    answer = world.ask(QUICK, "/never")
    assert (answer.status, answer.problem) == (504, "upstream_timeout")
    until(lambda: world.h2.requests[0].reset == 8, "the stream is not cancelled")


def test_an_upstream_that_stops_in_its_answer_is_cut_after_its_idle_time(world):
    with H2(world.tls(QUICK, alpn=("h2",))) as h2:
        stream = h2.begin(QUICK, "/pause")
        with pytest.raises(Reset):
            h2.end(stream)
        assert h2.streams[stream][1] == b"ppppp"
        assert ended(world, dict(h2.streams[stream][0])["belfry-reference"])["belfry.reason_code"] == "upstream_timeout"


def test_ntlm_is_refused_and_its_connection_gets_no_more(world, tls):
    assert ask(tls, "/warm").status == 200
    answer = ask(tls, "/ntlm")
    assert (answer.status, answer.problem) == (502, "connection_auth")
    assert ask(tls, "/after").status == 200
    assert world.h2.requests[0].peer is world.h2.requests[1].peer is not world.h2.requests[2].peer


# Streams that end early


def test_a_client_that_leaves_resets_its_stream_at_once_and_no_other(world):
    with H2(world.tls(H2C, alpn=("h2",))) as one, H2(world.tls(H2C, alpn=("h2",))) as two:
        gone, stays = one.begin(H2C, "/wait/gone"), two.begin(H2C, "/wait/stays")
        until(lambda: len(world.h2.requests) == 2, "they are not asked")
        one.connection.reset_stream(gone, 8)
        one.flush()
        until(lambda: world.h2.seen("/wait/gone")[0].reset == 8, "its stream is not reset", limit_s=2)
        world.h2.release.set()
        assert two.end(stays).status == 200
    assert world.h2.seen("/wait/stays")[0].reset is None


def test_an_answer_before_the_body_is_passed_and_the_body_ends(world, h2):
    stream = h2.begin(H2C, "/early-answer", method="POST", body=b"b" * 1000, end=False)
    while not h2.streams[stream][2]:
        h2.turn()
    assert h2.streams[stream][1] == b"ok"


# Windows


def test_a_client_that_does_not_read_costs_one_window_and_stops_nobody(world):
    with H2(world.tls(H2C, alpn=("h2",))) as slow, H2(world.tls(H2C, alpn=("h2",))) as quick:
        measure(world)
        stream = slow.begin(H2C, "/bytes/5000000")
        until(lambda: world.h2.seen("/bytes/5000000"), "it is not asked")
        answer = quick.ask(H2C, "/bytes/3000000")
        assert len(answer.body) == 3000000
        assert grown(world) < 8000
        assert len(slow.end(stream).body) == 5000000
        assert grown(world) < 12000


def test_a_body_that_is_not_taken_waits_at_the_client(world):
    measure(world)
    with H2(world.tls(H2C, alpn=("h2",))) as slow, H2(world.tls(H2C, alpn=("h2",))) as quick:
        stream = slow.begin(H2C, "/held", method="POST", body=b"", end=False)
        sent = 0
        while room := min(slow.connection.local_flow_control_window(stream), 16384):
            slow.connection.send_data(stream, b"h" * room)
            slow.flush()
            sent += room
            if slow.connection.local_flow_control_window(stream) == 0:
                quick.ask(H2C, "/turn")  # what could come has come
                slow.tls.settimeout(0.2)
                try:
                    slow.turn()
                except TimeoutError:
                    pass
                slow.tls.settimeout(10)
        assert sent < 400000 and grown(world) < 8000
        assert len(quick.ask(H2C, "/echo", method="POST", body=b"q" * 9000).body) == 9000
        world.h2.release.set()
        slow.send_body(stream, b"h" * 2000000)
        assert slow.end(stream).body == f"POST /held {sent + 2000000}".encode()


def test_huge_bodies_pass_in_bounded_memory(world):
    size = 200_000_000
    measure(world)
    done = []

    def down():
        with world.tls(H2C) as tls:
            tls.sendall(f"GET /unannounced/{size} HTTP/1.1\r\nhost: {H2C}\r\nconnection: close\r\n\r\n".encode())
            total = 0
            while piece := tls.recv(262144):
                total += len(piece)
            done.append(total)

    thread = threading.Thread(target=down)
    thread.start()
    with world.tls(H2C) as tls:
        tls.sendall(f"POST /huge HTTP/1.1\r\nhost: {H2C}\r\ncontent-length: {size // 4}\r\n\r\n".encode())
        for _ in range(size // 4 // 100000):
            tls.sendall(b"u" * 100000)
        assert read_answer(tls)[0].body == f"POST /huge {size // 4}".encode()
    thread.join()
    assert done[0] >= size and grown(world) < 20000


# WebSocket to an upstream over HTTP/2 (RFC 8441)


def test_a_websocket_is_asked_for_by_extended_connect(world, tls):
    tls.sendall(f"GET /chat HTTP/1.1\r\nhost: {H2C}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                f"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
    data = tls.recv(65536)
    assert data.startswith(b"HTTP/1.1 101 ") and b"ICX+Yqv66kxgM0FcWaLWlFLwTAI=" in data, data
    (seen,) = world.h2.requests
    assert seen.fields[:5] == [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                               (":authority", H2C), (":path", "/chat")]
    assert seen.get("sec-websocket-version") == "13" and seen.get("sec-websocket-key") is None
    tls.sendall(b"\x81\x85\0\0\0\0hello")
    got = b""
    while len(got) < 11:
        got += tls.recv(100)
    assert got == b"\x81\x85\0\0\0\0hello"
    tls.close()
    until(lambda: seen.reset is not None or seen.ended, "the tunnel is still open")


HANDSHAKE = ("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
             "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")


def test_the_first_question_of_a_connection_may_be_for_a_websocket(world, tls):
    world.h2.end()
    tls.sendall(f"GET /chat HTTP/1.1\r\nhost: {H2C}\r\n{HANDSHAKE}\r\n".encode())
    assert tls.recv(65536).startswith(b"HTTP/1.1 101 ")


def test_a_websocket_that_the_application_refuses_is_an_ordinary_answer(world, tls):
    answer = ask(tls, "/refused", headers=HANDSHAKE)
    assert (answer.status, answer.body) == (403, b"no")


def test_an_upstream_that_offers_no_websocket_is_a_502_that_says_so():
    origin = H2Origin()
    with H2World(origin, workers=1) as world:
        world.begin()
        for _ in range(2):  # before its SETTINGS have come, and after
            with world.tls(H2C) as tls:
                answer = ask(tls, "/chat", headers=HANDSHAKE)
            assert (answer.status, answer.problem) == (502, "upstream_broken")
            assert ended(world, answer)["belfry.detail"] == "it offers no WebSocket over HTTP/2"
            assert world.ask(H2C, "/").status == 200
        assert origin.connections == 1


# What goes in front and behind


def test_trailers_pass_both_ways(world, h2):
    answer = h2.ask(H2C, "/trailers", headers=[("te", "trailers")])
    assert answer.body == b"body"
    (trailers,) = h2.trailers.values()
    assert dict(trailers).get("x-sum") == "42" and "belfry-assertion" not in dict(trailers)
    stream = h2.begin(H2C, "/up", method="POST", body=b"counted", end=False)
    h2.connection.send_headers(stream, [("x-count", "7"), ("belfry-assertion", "forged")], end_stream=True)
    h2.flush()
    assert h2.end(stream).body == b"POST /up 7"
    assert world.h2.seen("/up")[0].trailers == [("x-count", "7")]


def test_early_hints_pass(world, tls):
    tls.sendall(f"GET /103 HTTP/1.1\r\nhost: {H2C}\r\n\r\n".encode())
    data = b""
    while b"GET /103 0" not in data:
        data += tls.recv(65536)
    assert data.startswith(b"HTTP/1.1 103 ") and b"link: </style.css>; rel=preload\r\n" in data
