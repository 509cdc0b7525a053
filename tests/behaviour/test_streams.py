# SPDX-License-Identifier: EUPL-1.2
"""Clients that vanish, stall, cancel, dawdle or answer nothing; and a gateway that goes down or has no descriptor left.
Nothing of them stays behind, and nobody else notices."""

import fcntl
import os
import resource
import select
import signal
import socket
import struct
import termios
import time

import pytest
from h2.exceptions import ProtocolError

from callers import H2, Ended, Reset, read_answer
from world import World, until

OPEN = "open.finance.localhost"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


@pytest.fixture(scope="module")
def hasty():
    """One worker that waits a second for a head, and for a client that takes nothing."""
    with World(workers=1, extra_config="timeouts: { head: 1s, stalled: 1s, handshake: 1s }\n") as made:
        yield made.begin()
        assert made.stop("gateway", patience_s=20) == 0
        assert "Sanitizer" not in made.log_text() and "runtime error" not in made.log_text(), made.log_text()[-6000:]


def head(path, method="GET", more=""):
    return f"{method} {path} HTTP/1.1\r\nhost: {OPEN}\r\n{more}\r\n".encode()


def nothing_is_left(world, path):
    until(lambda: world.metric("belfry_requests_open") == 0, "a request is still under way")
    until(lambda: all(r.connection not in world.origin.peers for r in world.origin.seen(path)),
          "a connection to the application is still open")


# path, request, and what is waited for before the client goes
PHASES = {
    "in its head": ("/gone/head", head("/gone/head")[:-4], None),
    "in its body": ("/gone/body", head("/gone/body", "POST", "content-length: 9\r\n") + b"half", None),
    "in its body's framing": ("/gone/chunk", head("/gone/chunk", "POST", "transfer-encoding: chunked\r\n") + b"5\r\nhe", None),
    "in a body that nobody takes": ("/held/gone", head("/held/gone", "POST", "content-length: 9999999\r\n") + b"b" * 300000,
                                    "asked"),
    "waiting for the answer": ("/never/gone", head("/never/gone"), "asked"),
    "in the answer": ("/pause/70000", head("/pause/70000"), "answered"),
    "taking nothing of the answer": ("/bytes/90000000", head("/bytes/90000000"), "asked"),
    "with more requests behind": ("/never/gone", head("/never/gone") + head("/never/next") * 3, "asked"),
}


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("phase", list(PHASES))
def test_of_an_h1_client_that_vanishes_nothing_stays(world, phase, how):
    path, request, before = PHASES[phase]
    tls = world.tls(OPEN)
    tls.sendall(request)
    if before:
        until(lambda: world.origin.seen(path), "the request did not arrive")
    if before == "answered":
        assert tls.recv(1)
    if how == "reset":
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    tls.close()
    world.origin.release.set()
    nothing_is_left(world, path)
    assert not world.origin.seen("/never/next")


H2_PHASES = {
    "in its body": ("/gone/body", {"method": "POST", "body": b"half", "end": False}, None),
    "in a body that nobody takes": ("/held/gone", {"method": "POST", "body": b"b" * 9000, "end": False}, "asked"),
    "waiting for the answer": ("/never/gone", {}, "asked"),
    "in the answer": ("/pause/50000", {}, "answered"),
    "taking nothing of the answer": ("/bytes/90000000", {}, "asked"),
}


@pytest.mark.parametrize("how", ["end", "reset", "stream"])
@pytest.mark.parametrize("phase", list(H2_PHASES))
def test_of_an_h2_client_that_vanishes_nothing_stays(world, phase, how):
    path, request, before = H2_PHASES[phase]
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        streams = [h2.begin(OPEN, path, **request) for _ in range(5)]
        if before:
            until(lambda: len(world.origin.seen(path)) == 5, "the requests did not arrive")
        while before == "answered" and not all(h2.streams[s][1] for s in streams):
            h2.turn()
        if how == "stream":
            for stream in streams:
                h2.connection.reset_stream(stream, 8)
            h2.flush()
            world.origin.release.set()
            nothing_is_left(world, path)
            assert h2.ask(OPEN, "/after").status == 200
        elif how == "reset":
            h2.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    # Missed before the answer can end: a whole answer's connection stays in the pool.
    until(lambda: world.metric("belfry_requests_open") == 0, "nobody misses the client")
    world.origin.release.set()
    nothing_is_left(world, path)


def test_of_a_thousand_cancelled_streams_nothing_stays(world):
    """Not so fast that it is a flood: each one is under way before it is cancelled."""
    for _ in range(10):
        with H2(world.tls(OPEN, alpn=("h2",))) as h2:
            for _ in range(10):
                asked = len(world.origin.seen("/never/cancel"))
                streams = [h2.begin(OPEN, "/never/cancel") for _ in range(8)]
                until(lambda: len(world.origin.seen("/never/cancel")) == asked + 8, "not all arrived")
                for stream in streams:
                    h2.connection.reset_stream(stream, 8)
                h2.flush()
    nothing_is_left(world, "/never/cancel")


def test_what_is_taken_back_as_it_comes_reaches_nobody(world):
    """Nor does what breaks its own stream (CVE-2023-44487, CVE-2025-8671): a head was read, and no more done for it."""
    for path, behind in (("/taken/back", lambda s: bytes.fromhex("0000040300%08x00000008" % s)),  # RST_STREAM
                         ("/broken/itself", lambda s: bytes.fromhex("0000040800%08x7fffffff" % s))):  # WINDOW_UPDATE
        before = world.metric("belfry_requests_total")
        with H2(world.tls(OPEN, alpn=("h2",))) as h2:
            flush, h2.flush, at_once = h2.flush, lambda: None, b""
            for _ in range(10):
                stream = h2.begin(OPEN, path)
                at_once += h2.connection.data_to_send() + behind(stream)
            h2.flush = flush
            h2.tls.sendall(at_once)
            assert h2.ask(OPEN, "/after").status == 200
        assert not world.origin.seen(path) and world.metric("belfry_requests_total") == before + 11
    told = until(lambda: (found := [e for e in world.events() if e.get("belfry.detail") == "taken back as it came"]) and
                 sum(e.get("belfry.count", 1) for e in found) >= 20 and found, "the audit is not told")
    assert {event["belfry.reason_code"] for event in told} == {"client_gone"}


def test_who_cancels_all_streams_at_once_is_no_attacker_and_who_never_stops_is_one(world):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        for i in range(3):
            path = f"/never/page{i}"
            streams = [h2.begin(OPEN, path) for _ in range(100)]
            until(lambda: len(world.origin.seen(path)) == 100, "not all arrived")
            for stream in streams:
                h2.connection.reset_stream(stream, 8)
            h2.flush()
            assert h2.ask(OPEN, "/after").status == 200
    nothing_is_left(world, path)
    with H2(world.tls(OPEN, alpn=("h2",))) as h2, pytest.raises((Ended, OSError)):
        for _ in range(3000):  # CVE-2023-44487
            h2.connection.reset_stream(h2.begin(OPEN, "/never/rapid"), 8)
        while True:
            h2.turn()
    nothing_is_left(world, "/never/rapid")


# Half a head, and what else never comes.


def raw_h2(world, more):
    """A connection on which the preface, SETTINGS and these bytes were sent."""
    tls = world.tls(OPEN, alpn=("h2",))
    tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000") + more)
    return tls


HALF_HEADS = {
    "a frame that stops": bytes.fromhex("000064010500000001") + b"\x82\x86",
    "a block without its end": bytes.fromhex("000002010100000001") + b"\x82\x86",
}


@pytest.mark.parametrize("more", [pytest.param(raw, id=name) for name, raw in HALF_HEADS.items()])
def test_half_an_h2_head_is_waited_for_no_longer_than_half_an_h1_head(hasty, more):
    for tls in (raw_h2(hasty, more), hasty.tls(OPEN)):
        with tls:
            if tls.selected_alpn_protocol() != "h2":
                tls.sendall(b"GET / HT")
            tls.settimeout(5)
            while tls.recv(65536):
                pass
    until(lambda: hasty.metric("belfry_connections_open") == 0, "a connection is still open")
    until(lambda: hasty.metric("belfry_requests_open") == 0, "a request is still under way")


def test_half_a_head_behind_good_requests_is_not_waited_for_either(hasty):
    with H2(hasty.tls(OPEN, alpn=("h2",))) as h2:
        assert h2.ask(OPEN, "/before").status == 200
        h2.begin(OPEN, "/never/there")
        h2.tls.sendall(bytes.fromhex("000002010100000009") + b"\x82\x86")
        h2.tls.settimeout(5)
        with pytest.raises(Ended):
            while True:
                h2.turn()
    until(lambda: hasty.metric("belfry_requests_open") == 0, "a request is still under way")


def is_still(plain):
    """Nothing has come for a tenth of a second, and something is there: the sender is blocked."""
    size = fcntl.ioctl(plain.fileno(), termios.FIONREAD, b"\0\0\0\0")
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        if fcntl.ioctl(plain.fileno(), termios.FIONREAD, b"\0\0\0\0") != size:
            return False
    return size != b"\0\0\0\0"


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_a_client_that_stalled_once_may_then_wait_for_as_long_as_its_application_does(hasty, alpn):
    size = 12000000
    with hasty.tls(OPEN, alpn=(alpn,)) as tls:
        if alpn == "h2":
            h2 = H2(tls)
            h2.connection.update_settings({4: 2**31 - 1})
            h2.connection.increment_flow_control_window(2**30)
            stream = h2.begin(OPEN, f"/pause/{size}")
        else:
            tls.sendall(head(f"/pause/{size}"))
        until(lambda: is_still(tls), "the gateway is not blocked")
        got = b""
        while len(got) < size:
            if alpn == "h2":
                h2.turn()
                got = h2.streams[stream][1]
            else:
                got += tls.recv(1 << 20)
        assert not tls.pending() and select.select([tls], [], [], 2.5)[0] == []  # quiet, not ended
        hasty.origin.release.set()
        if alpn == "h2":
            assert len(h2.end(stream).body) == size + 1
        else:
            assert tls.recv(10).endswith(b"!")
    hasty.origin.clear()


def test_a_client_that_takes_nothing_is_cut(hasty):
    with hasty.tls(OPEN) as tls:
        tls.sendall(head("/bytes/90000000"))
        until(lambda: hasty.metric("belfry_requests_open") == 1, "it did not begin")
        until(lambda: hasty.metric("belfry_requests_open") == 0, "it is not cut")


def test_an_answer_that_waits_behind_another_has_not_stalled(hasty):
    """Two on one connection come one after the other, and the client takes the first slowly."""
    with H2(hasty.tls(OPEN, alpn=("h2",))) as h2:
        streams = [h2.begin(OPEN, "/bytes/600000") for _ in range(2)]
        began = time.monotonic()
        while not h2.streams[streams[0]][2]:
            h2.turn()
            time.sleep(0.08)  # a slow line
        assert time.monotonic() - began > 2
        assert len(h2.end(streams[1]).body) == 600000


# More than one thing at once on one connection.


@pytest.mark.parametrize("size", [10, 6000000])
def test_an_answer_that_comes_before_the_h1_body_is_read_is_not_lost(world, size):
    """The client sends all it has before it looks."""
    with world.tls(OPEN) as tls:
        tls.sendall(head("/unread", "POST", "content-length: 90000000\r\n") + b"b" * size)
        answer, rest = read_answer(tls)
        assert (answer.status, answer.body, answer.get("connection")) == (200, b"POST /unread 0", "close")
        assert not rest and tls.recv(1) == b""


def test_an_answer_that_comes_before_the_h2_body_is_read_is_followed_by_a_reset_without_error(world):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        stream = h2.begin(OPEN, "/unread", method="POST", body=b"b" * 16384, end=False)
        assert h2.end(stream).body == b"POST /unread 0"
        while h2.streams[stream][3] is None:
            h2.turn()
        assert h2.streams[stream][3] == 0
        assert h2.ask(OPEN, "/after").status == 200


def test_a_body_may_go_on_long_after_the_answer_has_begun(world):
    """Both ways at once on one stream: what is sent up is still taken after the answer's head."""
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        stream = h2.begin(OPEN, "/unread/both", method="POST", headers=[("content-length", "40000")], end=False)
        while h2.streams[stream][0] is None:
            h2.turn()
        try:
            h2.send_body(stream, b"b" * 40000)
        except ProtocolError:
            pass  # the stream was reset without error meanwhile: it is over
        assert h2.end(stream).status == 200


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_who_expects_100_continue_is_told_so_only_once_it_is_permitted(world, http):
    if http == "1.1":
        with world.tls(OPEN) as tls:
            tls.sendall(head("/echo", "POST", "expect: 100-continue\r\ncontent-length: 4\r\n"))
            interim = b""
            while not interim.endswith(b"\r\n\r\n"):
                interim += tls.recv(1)
            assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
            tls.sendall(b"body")
            assert read_answer(tls)[0].body == b"body"
            tls.sendall(head("/a%2fb", "POST", "expect: 100-continue\r\ncontent-length: 4\r\n"))
            assert read_answer(tls)[0].status == 400
    else:
        with H2(world.tls(OPEN, alpn=("h2",))) as h2:
            events = []
            receive = h2.connection.receive_data
            h2.connection.receive_data = lambda data: [events.append(e) or e for e in receive(data)]
            stream = h2.begin(OPEN, "/echo", method="POST", headers=[("expect", "100-continue")], end=False)
            until(lambda: h2.turn() or [e for e in events if type(e).__name__ == "InformationalResponseReceived"],
                  "no 100")
            h2.send_body(stream, b"body")
            assert h2.end(stream).body == b"body"
            assert h2.ask(OPEN, "/", headers=[("expect", "200-ok")]).problem == "expectation_refused"
    assert all(r.get("expect") is None for r in world.origin.requests)


def test_who_says_nothing_behind_the_handshake_is_sent_away(hasty):
    with hasty.tls(OPEN) as tls:
        tls.settimeout(5)
        assert tls.recv(100) == b""


def test_one_client_that_sends_all_it_can_holds_up_nobody(hasty):
    """A worker takes a share from each, however much one of them has."""
    floods = [hasty.tls(OPEN) for _ in range(4)]
    pids = []
    for flood in floods:
        flood.sendall(head("/held/flood", "POST", "content-length: 2000000000\r\n"))
    hasty.origin.release.set()
    for flood in floods:  # as processes: one interpreter does not send faster than the gateway reads
        pid = os.fork()
        if pid == 0:
            try:
                while True:
                    flood.sendall(b"b" * 1048576)
            finally:
                os._exit(0)
        pids.append(pid)
    try:
        with hasty.tls(OPEN) as tls:
            for i in range(20):
                began = time.monotonic()
                tls.sendall(head(f"/among/{i}"))
                assert read_answer(tls)[0].status == 200
                assert time.monotonic() - began < 5
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for flood in floods:
            flood.close()
    until(lambda: hasty.metric("belfry_requests_open") == 0, "a request is still under way")
    hasty.origin.clear()


def cpu_s(world):
    words = open(f"/proc/{world.gateway.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_without_a_descriptor_it_rests_and_those_who_are_in_are_served(hasty):
    pid = hasty.gateway.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    waiting = []
    with hasty.tls(OPEN) as tls:
        tls.sendall(head("/warm"))
        assert read_answer(tls)[0].status == 200
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 8, limits[1]))
        try:
            waiting = [socket.create_connection(("127.0.0.1", hasty.port)) for _ in range(40)]
            until(lambda: "no descriptor is left" in hasty.log_text(), "it does not say so")
            before, began = cpu_s(hasty), time.monotonic()
            while time.monotonic() < began + 0.8:
                tls.sendall(head("/within"))
                assert read_answer(tls)[0].status == 200
                select.select([], [], [], 0.05)
            assert cpu_s(hasty) - before < 0.4
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            for one in waiting:
                one.close()
    assert hasty.ask(OPEN, "/again").status == 200


# Going down


def test_a_gateway_that_goes_down_ends_what_is_under_way_first(new_world):
    world = new_world(workers=1)
    h2 = H2(world.tls(OPEN, alpn=("h2",)))
    idle = H2(world.tls(OPEN, alpn=("h2",)))
    assert idle.ask(OPEN, "/idle").status == 200
    h1, quiet = world.tls(OPEN), world.tls(OPEN)
    quiet.sendall(head("/quiet"))
    assert read_answer(quiet)[0].status == 200
    under_way = h2.begin(OPEN, "/wait/h2")
    h1.sendall(head("/wait/h1"))
    until(lambda: len(world.origin.seen("/wait/h1") + world.origin.seen("/wait/h2")) == 2, "not both arrived")
    world.gateway.send_signal(signal.SIGTERM)
    while h2.goaway is None:
        h2.turn()
    assert h2.goaway == 0
    with pytest.raises(Ended):
        while True:
            idle.turn()
    assert idle.goaway == 0 and quiet.recv(1) == b""
    with pytest.raises(OSError):
        world.tls(OPEN)
    world.origin.release.set()
    assert h2.end(under_way).status == 200
    answer, rest = read_answer(h1)
    assert (answer.status, answer.get("connection")) == (200, "close") and not rest and h1.recv(1) == b""
    with pytest.raises(Ended):
        while True:
            h2.turn()
    for client in (h2.tls, idle.tls, h1, quiet):
        client.close()
    assert world.gateway.wait(10) == 0


def test_a_gateway_that_goes_down_cuts_what_does_not_end(new_world):
    world = new_world(workers=2)
    with H2(world.tls(OPEN, alpn=("h2",))) as h2, world.tls(OPEN) as h1:
        streams = [h2.begin(OPEN, "/never/h2") for _ in range(20)]
        h1.sendall(head("/pause/9"))
        until(lambda: len(world.origin.requests) == 21, "not all arrived")
        world.gateway.send_signal(signal.SIGTERM)
        with pytest.raises((Ended, Reset, OSError)):
            for stream in streams:
                h2.end(stream)
        assert world.gateway.wait(10) == 0
