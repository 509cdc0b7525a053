# SPDX-License-Identifier: EUPL-1.2
"""Half an hour of everything at once, with faults: nothing that should work fails, nothing leaks, memory is flat.

BELFRY_SOAK_S shortens it; the first third is the warm-up."""

import collections
import os
import random
import signal
import socket
import ssl
import statistics
import sys
import threading
import time
import traceback

import pytest

from callers import H2, OPENERS, Ended, Reset, read_answer
from world import until

OPEN = "open.finance.localhost"
STRICT = "strict.finance.localhost"
DEAD = "dead.finance.localhost"
LAPTOP = "laptop-0001"
SOAK_S = float(os.environ.get("BELFRY_SOAK_S", "1800"))
SAMPLE_S = 2
IS_ASAN = "asan" in os.environ.get("BELFRY", "build/asan")  # whose quarantine keeps what was freed

kinds = []


def kind(function):
    kinds.append(function)
    return function


class Soak:
    def __init__(self, world):
        self.world = world
        self.over = threading.Event()
        self.done = collections.Counter()
        self.wrong = []

    def run(self, what):
        rng = random.Random(what.__name__)
        while not self.over.is_set():
            try:
                what(self, rng)
                self.done[what.__name__] += 1
            except Exception:  # noqa: BLE001: whatever it is, it is what the test is for
                if self.over.is_set():
                    return
                self.wrong.append(f"{what.__name__}: {traceback.format_exc(limit=-3)}")
                if len(self.wrong) > 20:
                    self.over.set()
            time.sleep(rng.random() * 0.02)

    def was_unlucky(self, answer):
        """A body went to a pooled connection that a broken application was just ending: it can't be sent twice."""
        unlucky = answer.status == 502 and answer.problem == "upstream_broken"
        self.done["unlucky"] += unlucky
        return unlucky

    def check(self, claim, *what):
        if not claim:
            raise AssertionError(what)


@kind
def requests_on_one_connection(soak, rng):
    with soak.world.tls(OPEN) as tls:
        for _ in range(rng.randrange(1, 40)):
            n = rng.randrange(0, 100000)
            tls.sendall(f"GET /bytes/{n} HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode())
            answer, rest = read_answer(tls)
            soak.check(answer.status == 200 and len(answer.body) == n and not rest, answer)


@kind
def pipelined(soak, rng):
    with soak.world.tls(OPEN) as tls:
        paths = [f"/p/{rng.randrange(1000)}" for _ in range(8)]
        tls.sendall(b"".join(f"GET {path} HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode() for path in paths))
        rest = b""
        for path in paths:
            answer, rest = read_answer(tls, rest)
            soak.check(answer.body == f"GET {path} 0".encode(), answer, path)


@kind
def chunked_both_ways(soak, rng):
    body = rng.randbytes(rng.randrange(1, 200000))
    with soak.world.tls(OPEN) as tls:
        tls.sendall(f"POST /echo HTTP/1.1\r\nhost: {OPEN}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        for at in range(0, len(body), 30011):
            piece = body[at : at + 30011]
            tls.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        tls.sendall(b"0\r\nx-checked: yes\r\n\r\n")
        answer, _ = read_answer(tls)
        if soak.was_unlucky(answer):
            return
        soak.check(answer.status == 200 and answer.body == body, answer.status, len(answer.body), len(body))


@kind
def streams_of_a_device(soak, rng):
    with H2(soak.world.tls(STRICT, cert=LAPTOP, alpn=("h2",))) as h2:
        for _ in range(4):
            sizes = {h2.begin(STRICT, f"/bytes/{n}"): n for n in (rng.randrange(0, 60000) for _ in range(12))}
            for stream, n in sizes.items():
                answer = h2.end(stream)
                soak.check(answer.status == 200 and len(answer.body) == n, answer)


@kind
def uploads(soak, rng):
    with H2(soak.world.tls(OPEN, alpn=("h2",))) as h2:
        body = rng.randbytes(rng.randrange(1, 300000))
        stream = h2.begin(OPEN, "/echo", method="POST", end=False)
        h2.send_body(stream, body)
        answer = h2.end(stream)
        if soak.was_unlucky(answer):
            return
        soak.check(answer.status == 200 and answer.body == body, answer, len(answer.body), len(body))


@kind
def websockets(soak, rng):
    answer, ws, *_ = OPENERS[rng.choice(list(OPENERS))](soak.world, OPEN, "/ws")
    soak.check(ws, answer)
    with ws:
        for _ in range(rng.randrange(1, 30)):
            said = rng.randbytes(rng.randrange(1, 20000))
            ws.say(said)
            soak.check(ws.frame().data == said)
        ws.bye(1000)
        while ws.frame():
            pass
        soak.check(ws.said_bye[0] == 1000, ws.said_bye)


@kind
def refused(soak, rng):
    """By handshake, by rule, by host, by what was never HTTP."""
    world = soak.world
    what = rng.randrange(4)
    if what == 0:
        try:
            with world.tls(STRICT) as tls:  # TLS 1.3: the alert may come with the first read
                tls.sendall(f"GET / HTTP/1.1\r\nhost: {STRICT}\r\n\r\n".encode())
                soak.check(not tls.recv(1))
        except (ssl.SSLError, ConnectionError):
            pass
        return
    with world.tls(OPEN) as tls:
        tls.sendall({1: b"GET / HTTP/1.1\r\nhost: nowhere.example\r\n\r\n", 2: b"GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n",
                     3: f"GET /%2e%2e/x HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode()}[what])
        answer, _ = read_answer(tls)
        soak.check(answer.status == {1: 404, 2: 400, 3: 400}[what], answer)


@kind
def leavers(soak, rng):
    """Clients that go in the middle of everything."""
    what = rng.randrange(4)
    if what == 0:
        with H2(soak.world.tls(OPEN, alpn=("h2",))) as h2:
            for _ in range(5):
                h2.connection.reset_stream(h2.begin(OPEN, "/bytes/1000000"), 8)
            h2.flush()
        return
    with soak.world.tls(OPEN) as tls:
        tls.sendall({1: f"GET /bytes/5000000 HTTP/1.1\r\nhost: {OPEN}\r\n\r\n", 2: "GET / HT",
                     3: f"POST /echo HTTP/1.1\r\nhost: {OPEN}\r\ncontent-length: 100000\r\n\r\nhalf"}[what].encode())
        if what == 1:
            tls.recv(10000)
        if rng.random() < 0.5:
            tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


@kind
def broken_applications(soak, rng):
    path, statuses = rng.choice([("/reset", {502}), ("/short", {200}), ("/half-chunked", {200}), ("/close-after", {200}),
                                 ("/answers/" + b"nonsense\r\n\r\n".hex(), {502}), ("/status/503", {503})])
    try:
        with H2(soak.world.tls(OPEN, alpn=("h2",))) as h2:
            soak.check(h2.ask(OPEN, path).status in statuses)
    except (Reset, Ended):
        soak.check(path in ("/short", "/half-chunked"), path)


@kind
def dead_application(soak, rng):
    with soak.world.tls(DEAD) as tls:
        tls.sendall(f"GET / HTTP/1.1\r\nhost: {DEAD}\r\n\r\n".encode())
        soak.check(read_answer(tls)[0].status in (502, 503))
    time.sleep(0.2)


@kind
def slow_reader(soak, rng):
    with soak.world.tls(OPEN) as tls:
        tls.sendall(f"GET /bytes/3000000 HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode())
        taken = 0
        while taken < 3000000 and not soak.over.is_set():
            piece = tls.recv(16384)
            soak.check(piece)
            taken += len(piece)
            time.sleep(0.01)


@kind
def publishes(soak, rng):
    soak.world.update(rng.choice(["finance", "health"]), lambda text: text)
    time.sleep(5)


@kind
def reloads(soak, rng):
    before = soak.world.metric("belfry_reloads_total")
    soak.world.gateway.send_signal(signal.SIGHUP)
    until(lambda: soak.world.metric("belfry_reloads_total") > before, "not taken over", 60)
    soak.world.origin.requests = []  # the origin remembers, and must not run out of memory
    time.sleep(7)


@pytest.mark.long
def test_half_an_hour_of_everything_leaves_nothing_behind(new_world):
    world = new_world(workers=2)
    soak = Soak(world)
    threads = [threading.Thread(target=soak.run, args=[each], name=each.__name__) for each in kinds]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    sizes = []
    while not soak.over.wait(SAMPLE_S) and time.monotonic() - began < SOAK_S:
        sizes.append(world.rss_kib())
    soak.over.set()
    for thread in threads:
        thread.join(60)
    assert not soak.wrong, "\n".join(soak.wrong)
    assert all(soak.done[each.__name__] for each in kinds), soak.done
    bodies = soak.done["uploads"] + soak.done["chunked_both_ways"]
    assert soak.done["unlucky"] <= bodies / 100, soak.done
    until(lambda: world.metric("belfry_requests_open") == 0, "requests are open", 30)
    third = len(sizes) // 3
    warm, late = statistics.median(sizes[third : 2 * third]), statistics.median(sizes[2 * third :])
    print(f"\nsoak: {time.monotonic() - began:.0f} s, {sum(soak.done.values())} rounds, RSS {warm:.0f} → {late:.0f} KiB, "
          f"{dict(soak.done)}", file=sys.stderr)
    if not IS_ASAN:
        assert late <= warm * 1.05, (warm, late, sizes)
