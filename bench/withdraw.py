#!/usr/bin/python3
# SPDX-License-Identifier: EUPL-1.2
"""From a published withdrawal to the end of what it withdraws: how long do streams under way live on?

    bench/withdraw.py [ROUNDS] [--connections N] [--streams N]      BELFRY names the binary (default: the release build)

Each round opens server-sent events (100 on each of 10 connections over HTTP/2, each with a device certificate and
a token of its own), publishes a bundle without their rule, and notes when the RST_STREAM of each has come. The clock
starts in the millisecond in which Redis wrote the event. What was read is taken apart after its time was noted, and the
application is a process of its own, so that the figures are not those of this script."""

import argparse
import json
import multiprocessing
import os
import pathlib
import resource
import selectors
import socket
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("BELFRY", str(ROOT / "build/release/belfry"))
sys.path.insert(0, str(ROOT / "tests/behaviour"))

import redis  # noqa: E402
from callers import H2  # noqa: E402
from forger import Signer  # noqa: E402
from world import UNLIMITED, World, until  # noqa: E402

HOST, OWN = "live.finance.localhost", "https://own.finance.example"
OPEN, CLOSED = 'paths: ["/events/**"]', 'paths: ["/elsewhere/**"]'
ANSWER = (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
          b"9\r\ndata: 1\n\n\r\n")
RST_STREAM = 3  # RFC 9113 §6.4


def application(listener):
    """One event for each request, and then it waits for the end."""
    def accept(_):
        peer, _ = listener.accept()
        peer.setblocking(False)
        waiting.register(peer, selectors.EVENT_READ, serve)

    def serve(peer):
        try:
            data = peer.recv(65536)
        except OSError:
            data = b""
        if not data:
            waiting.unregister(peer)
            peer.close()
        elif data.endswith(b"\r\n\r\n"):
            peer.sendall(ANSWER)

    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ, accept)
    while True:
        for key, _ in waiting.select():
            key.data(key.fileobj)


def policy(text, signer, port):
    return text.replace("device_authorities:\n", f"""\
  - id: own
    issuer: {OWN}
    audiences: [own-api]
    jwks: '{json.dumps({"keys": [signer.jwk]})}'
    claims: {{ groups: roles }}
device_authorities:
""", 1) + f"""
  - id: live
    host: {HOST}
    device: required
    identity_providers: [own]
    upstreams: [http://127.0.0.1:{port}]
    max_connections: 65536
    rules:
      - id: staff
        permit: {{ methods: [GET], {OPEN} }}
        when: '"staff" in user.groups && device.trust == "managed"'
"""


def cuts(data):
    """How many RST_STREAM are in there, and what is behind the last whole frame."""
    count, at = 0, 0
    while len(data) - at >= 9 and len(data) - at >= (whole := 9 + int.from_bytes(data[at:at + 3], "big")):
        count += data[at + 3] == RST_STREAM
        at += whole
    return count, data[at:]


def watch(lines, streams):
    """When each stream of each line was cut, in Unix time; and what was read."""
    waiting, times, read = selectors.DefaultSelector(), [], {line: [] for line in lines}
    left = {line: (streams, b"") for line in lines}
    for line in lines:
        waiting.register(line.tls, selectors.EVENT_READ, line)
    while any(count for count, _ in left.values()):
        ready = waiting.select(timeout=10)
        assert ready, "streams are not cut"
        for key, _ in ready:
            data = key.fileobj.recv(262144)
            while key.fileobj.pending():
                data += key.fileobj.recv(262144)
            now = time.time()
            assert data, "a connection has ended"
            read[key.data].append(data)
            count, rest = cuts(left[key.data][1] + data)
            left[key.data] = (left[key.data][0] - count, rest)
            times += [now] * count
    return times, read


def written_at(store, serial):
    for number, fields in store.xrevrange("belfry:events", count=10):
        if int(fields[b"serial"]) == serial and fields[b"entity"] == b"fod-finance":
            return int(number.split(b"-")[0]) / 1000
    raise AssertionError(f"no event of serial {serial}")


def main(rounds, connections, streams):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    process = multiprocessing.get_context("fork").Process(target=application, args=(listener,), daemon=True)
    process.start()
    signer, taken = Signer("own-1"), []
    with World(hosts=[HOST], extra_config=UNLIMITED) as world:
        world.begin()
        world.update("finance", lambda text: policy(text, signer, listener.getsockname()[1]))
        store = redis.Redis(unix_socket_path=str(world.redis_socket))
        path = world.folder / "policy/finance.yaml"
        lines = [H2(world.tls(HOST, "laptop-0001", alpn=("h2",))) for _ in range(connections)]
        for i in range(rounds):
            for line in lines:
                begun = [line.begin(HOST, "/events/1", headers=[("authorization", "Bearer " + signer.token(
                    OWN, "own-api", payload={"jti": f"{i}-{id(line)}-{k}"}))]) for k in range(streams)]
                while not all(line.streams[s][1] for s in begun):
                    line.turn()
            until(lambda: world.metric("belfry_requests_open") == connections * streams, "not all streams live")
            world.edit("finance", lambda text: text.replace(OPEN, CLOSED))
            serial = int(next(l for l in path.read_text().splitlines() if l.startswith("serial:")).split()[1])
            publisher = multiprocessing.get_context("fork").Process(target=world.publish, args=("finance",))
            publisher.start()
            times, read = watch(lines, streams)
            publisher.join()
            begun = written_at(store, serial)
            taken += [(t - begun) * 1000 for t in times]
            for line, pieces in read.items():
                for piece in pieces:
                    line.take(piece)
            until(lambda: world.metric("belfry_requests_open") == 0, "streams are left")
            world.update("finance", lambda text: text.replace(CLOSED, OPEN))
            if sys.stderr.isatty():
                print(f"\r{i + 1}/{rounds}", end="", file=sys.stderr, flush=True)
        for line in lines:
            line.tls.close()
    process.terminate()
    taken.sort()
    print(f"\r{rounds} withdrawals of {connections * streams} streams on {connections} connections, ms until cut: "
          f"p50 {taken[len(taken) // 2]:.1f}, p99 {taken[int(len(taken) * 0.99) - 1]:.1f}, max {taken[-1]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", nargs="?", type=int, default=20)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--streams", type=int, default=100)
    arguments = parser.parse_args()
    main(arguments.rounds, arguments.connections, arguments.streams)
