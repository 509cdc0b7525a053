#!/usr/bin/python3
# SPDX-License-Identifier: EUPL-1.2
"""From a published rule to the first answer under it: how long until every worker judges by it?

    bench/publish.py [PUBLISHES]          BELFRY names the binary (default: the release build)

The clock starts when the event is in Redis (a reader of the stream of our own sees it) and stops at the first
answer under the new rule on the last of 16 connections. With two workers, that all 16 are at one of
them has a chance of 1 in 32,768. Connections are asked in turn, so each figure includes up to one round."""

import os
import pathlib
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("BELFRY", str(ROOT / "build/release/belfry"))
sys.path.insert(0, str(ROOT / "tests/behaviour"))

import redis  # noqa: E402
from world import World  # noqa: E402

CONNECTIONS = 16


class Watch(threading.Thread):
    """Notes when each event of the stream was seen."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.redis = redis.Redis(unix_socket_path=str(path))
        self.last = "$"
        self.seen = {}
        self.come = threading.Condition()

    def run(self):
        while True:
            try:
                come = self.redis.xread({"belfry:events": self.last}, block=0)
            except redis.ConnectionError:  # the scenery has ended
                return
            for _, entries in come:
                now = time.perf_counter()
                for number, fields in entries:
                    self.last = number
                    with self.come:
                        self.seen[int(fields[b"serial"])] = now
                        self.come.notify_all()

    def wait(self, serial):
        with self.come:
            assert self.come.wait_for(lambda: serial in self.seen, 10)
            return self.seen[serial]


def status(peer):
    peer.sendall(b"GET /open/door HTTP/1.1\r\nhost: maybe.finance.localhost\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.recv(65536)
    head, _, body = head.partition(b"\r\n\r\n")
    length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
    while len(body) < length:
        body += peer.recv(65536)
    return int(head.split()[1])


def main(publishes):
    taken = []
    with World() as world:
        world.begin()
        watch = Watch(world.redis_socket)
        watch.start()
        peers = [world.tls("maybe.finance.localhost") for _ in range(CONNECTIONS)]
        assert {status(p) for p in peers} == {200}
        time.sleep(0.2)
        path = world.folder / "policy/finance.yaml"
        for i in range(publishes):
            closed = i % 2 == 0
            paths = ('"/open/**"', '"/shut/**"') if closed else ('"/shut/**"', '"/open/**"')
            world.edit("finance", lambda text: text.replace(f"paths: [{paths[0]}]", f"paths: [{paths[1]}]"))
            serial = int(next(l for l in path.read_text().splitlines() if l.startswith("serial:")).split()[1])
            publisher = threading.Thread(target=world.publish, args=("finance",))
            publisher.start()
            begun = watch.wait(serial)
            waiting = list(peers)
            while waiting:
                waiting = [p for p in waiting if status(p) != (403 if closed else 200)]
            taken.append((time.perf_counter() - begun) * 1000)
            publisher.join()
            print(f"\r{i + 1}/{publishes}", end="", file=sys.stderr, flush=True)
        for p in peers:
            p.close()
    taken.sort()
    print(f"\r{publishes} publishes, {CONNECTIONS} connections, ms until live on all: "
          f"p50 {taken[len(taken) // 2]:.1f}, p99 {taken[int(len(taken) * 0.99) - 1]:.1f}, max {taken[-1]:.1f}")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
