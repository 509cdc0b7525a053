#!/usr/bin/python3
# SPDX-License-Identifier: EUPL-1.2
"""From a published rule to the first answer under it: how long until every worker judges by it?

    bench/publish.py [PUBLISHES] [--rules N]      BELFRY names the binary (default: the release build)

--rules makes the bundle larger by N rules with conditions, in applications of 100 rules each.

The clock starts when the event is in Redis (a reader of the stream of our own sees it) and stops at the first
answer under the new rule on the last of 16 connections. With two workers, that all 16 are at one of
them has a chance of 1 in 32,768. Connections are asked in turn, so each figure includes up to one round."""

import argparse
import os
import pathlib
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("BELFRY", str(ROOT / "build/release/belfry"))
sys.path.insert(0, str(ROOT / "tests/behaviour"))

import redis  # noqa: E402
from world import UNLIMITED, World  # noqa: E402

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


def more_rules(text, count):
    """`count` rules for finance, each with a path and a condition of its own."""
    for i in range(count):
        if i % 100 == 0:
            text += (f"  - id: made-{i}\n    host: made-{i}.finance.localhost\n    device: none\n"
                     "    identity_providers: [fas]\n    upstreams: [http://127.0.0.1:9]\n    rules:\n")
        text += (f"      - id: rule-{i}\n        permit: {{ methods: [GET, POST], paths: [\"/part-{i}/**\"] }}\n"
                 f"        when: '\"group-{i}\" in user.groups && user.acr_level >= 300'\n")
    return text


def main(publishes, rules):
    taken = []
    hosts = [f"made-{i}.finance.localhost" for i in range(0, rules, 100)]
    with World(hosts=hosts, extra_config=UNLIMITED) as world:
        world.begin()
        if rules:
            world.update("finance", lambda text: more_rules(text, rules))
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
            if sys.stderr.isatty():
                print(f"\r{i + 1}/{publishes}", end="", file=sys.stderr, flush=True)
        for p in peers:
            p.close()
    taken.sort()
    print(f"\r{publishes} publishes, {rules} more rules, {CONNECTIONS} connections, ms until live on all: "
          f"p50 {taken[len(taken) // 2]:.1f}, p99 {taken[int(len(taken) * 0.99) - 1]:.1f}, max {taken[-1]:.1f}")


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("publishes", nargs="?", type=int, default=1000)
parser.add_argument("--rules", type=int, default=0)
options = parser.parse_args()
main(options.publishes, options.rules)
