# SPDX-License-Identifier: EUPL-1.2
"""Configuration, certificates and rules are changed again and again under a steady load: nobody notices, and nothing
of the old ones stays."""

import re
import signal
import subprocess
import threading

import pytest

from callers import H2, OPENERS, read_answer
from test_failures import OPEN, hang_up, raw_request, renew
from world import until


class Requests:
    """h2load, for a time: each connection asks so many times a second, and every answer must be 200."""

    def __init__(self, world, seconds, connections, *more):
        self.is_h2, self.connections = "--h1" not in more, connections
        self.process = subprocess.Popen(
            ["h2load", "-c", str(connections), "-D", str(seconds), "--rps", "3", "--connect-to",
             f"127.0.0.1:{world.port}", *more, f"https://{OPEN}:{world.port}/1"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @property
    def is_over(self):
        return self.process.poll() is not None

    def end(self):
        """How many were answered; none was not, but for what each connection was still waiting for when time was over."""
        text, _ = self.process.communicate(timeout=60)
        counts = re.search(r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, "
                           r"(\d+) errored, (\d+) timeout", text)
        assert counts, text
        _, started, done, succeeded, _, errored, late = map(int, counts.groups())
        assert (errored, late) == (0, 0) and started - done <= self.connections, text
        if self.is_h2:  # over HTTP/1.1 it does not count statuses; the gateway's own counts are looked at
            assert succeeded == done, text
        return done


class Stream:
    """One answer that goes on all the time, an event every 100 ms, to its end when the application ends it."""

    def __init__(self, world, seconds):
        self.world, self.least = world, seconds * 5
        self.tls = world.tls(OPEN)
        self.tls.sendall(raw_request(OPEN, "/ticks"))

    def end(self):
        self.world.origin.release.set()
        with self.tls:
            data = b""
            while not data.endswith(b"\r\n0\r\n\r\n"):
                more = self.tls.recv(65536)
                assert more, "the stream was cut"
                data += more
        ticks = [int(line) for line in re.findall(rb"data: (\d+)", data)]
        assert len(ticks) > self.least and ticks == list(range(1, len(ticks) + 1)), ticks
        return len(ticks)


class Talk:
    """Open WebSockets, over HTTP/1.1 and HTTP/2: each says something all the time, and hears the same."""

    def __init__(self, world, each=10):
        self.over = threading.Event()
        self.sockets = [opener(world, OPEN, "/ws")[1] for opener in OPENERS.values() for _ in range(each)]
        self.said, self.wrong = 0, []
        self.thread = threading.Thread(target=self.talk)
        self.thread.start()

    def talk(self):
        try:
            while not self.over.wait(0.05):
                for socket in self.sockets:
                    socket.say(f"{self.said}")
                    heard = socket.frame()
                    assert heard and heard.data == f"{self.said}".encode(), heard
                self.said += 1
        except Exception as wrong:  # noqa: BLE001: told at the end
            self.wrong.append(wrong)

    def end(self):
        self.over.set()
        self.thread.join(30)
        assert not self.wrong, self.wrong
        for socket in self.sockets:
            socket.bye(1000)
            while socket.frame():
                pass
            assert socket.said_bye[0] == 1000
            socket.close()
        return self.said * len(self.sockets)


# What runs meanwhile: (world, seconds) → something whose `end()` raises what went wrong and returns how much was done.
# The first two say when their time is over, too.
LOADS = [
    lambda world, seconds: Requests(world, seconds, 100, "--h1"),
    lambda world, seconds: Requests(world, seconds, 100),
    Stream,
    lambda world, seconds: Talk(world),
]


WARM_EVENTS = 45000  # by then the audit's rings (4 MiB a worker) have been written to from end to end


def change_everything(world, number):
    """Another configuration, another certificate, other rules."""
    level = ("info", "notice")[number % 2]
    world.config.write_text(re.sub(r"level: \w+", f"level: {level}", world.config.read_text()))
    renew(world, OPEN)
    world.update("finance", lambda text: text)
    hang_up(world)


@pytest.mark.parametrize("seconds, reloads", [(8, 10), pytest.param(60, 100, marks=pytest.mark.long)])
def test_reloads_under_a_steady_load_fail_no_request_and_leave_nothing(new_world, seconds, reloads):
    world = new_world(workers=2)
    loads = [load(world, seconds) for load in LOADS]
    until(lambda: world.metric("belfry_connections_open") >= 200, "the load does not begin")
    done, early_kib = 0, 0
    while not all(load.is_over for load in loads[:2]):
        change_everything(world, done)
        done += 1
        if not early_kib and world.metric("belfry_audit_events_total") > WARM_EVENTS:
            early_kib = world.rss_kib()
    late_kib = world.rss_kib()
    answered = [load.end() for load in loads]
    assert done >= reloads and min(answered[:2]) > 100 * seconds, (done, answered)
    until(lambda: world.metric("belfry_requests_open") == 0, "requests are open")
    assert world.reasons() <= {"permitted", "client_gone"}, world.reasons()
    until(lambda: world.metric("belfry_snapshots_alive") == 1, "old rules stay in memory")
    assert late_kib < early_kib * 1.05 or seconds < 60, (early_kib, late_kib)
    print(f"{done} reloads, {sum(answered)} answers, {early_kib} → {late_kib} KiB")


def test_old_rules_live_as_long_as_a_request_that_they_let_in(new_world):
    world = new_world(workers=1)
    with world.tls(OPEN) as tls:
        tls.sendall(raw_request(OPEN, "/wait/1"))
        until(lambda: world.origin.seen("/wait/1"), "it is not under way")
        for _ in range(3):
            world.update("finance", lambda text: text)
        until(lambda: world.metric("belfry_snapshots_alive") in (1, 2), "the ones between stay")
        world.origin.release.set()
        assert read_answer(tls)[0].status == 200
    until(lambda: world.metric("belfry_snapshots_alive") == 1, "old rules stay in memory")


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_a_drain_ends_all_that_is_under_way_well_and_before_its_deadline(new_world, http):
    """60 requests at once, each of which the application answers only after the signal."""
    world = new_world(workers=2)
    with threading_clients(world, http) as clients:
        until(lambda: len(world.origin.requests) == 60, "they are not under way")
        world.gateway.send_signal(signal.SIGTERM)
        until(lambda: world.admin("/readyz")[0] == 503, "it does not drain")
        world.origin.release.set()
        assert world.gateway.wait(1.9) == 0  # drain: 2s
        assert clients.statuses() == [200] * 60


class threading_clients:
    def __init__(self, world, http):
        self.world, self.http, self.seen = world, http, []

    def __enter__(self):
        each = 1 if self.http == "1.1" else 20
        self.threads = [threading.Thread(target=self.ask, args=(each,)) for _ in range(60 // each)]
        for thread in self.threads:
            thread.start()
        return self

    def ask(self, count):
        if self.http == "1.1":
            with self.world.tls(OPEN) as tls:
                tls.sendall(raw_request(OPEN, "/wait/1"))
                self.seen.append(read_answer(tls)[0].status)
            return
        with H2(self.world.tls(OPEN, alpn=("h2",))) as h2:
            for stream in [h2.begin(OPEN, f"/wait/{i}") for i in range(count)]:
                self.seen.append(h2.end(stream).status)

    def statuses(self):
        for thread in self.threads:
            thread.join(10)
        return self.seen

    def __exit__(self, *_):
        self.world.origin.release.set()
        self.statuses()
