#!/usr/bin/python3
# SPDX-License-Identifier: EUPL-1.2
"""From a revocation to the end of what rests on it: how long do streams under way live on, and tickets resume?

    bench/revoke.py [ROUNDS] [--connections N] [--streams N]      BELFRY names the binary (default: the release build)

Each round opens server-sent events (100 on each of 10 connections over HTTP/2, each with a token of its own) from one
device, revokes the device by `belfry revoke`, and notes when the RST_STREAM of each has come. The clock starts in the
millisecond in which Redis wrote the event, as in withdraw.py. At the same time another process shakes hands with that
device's ticket again and again: the last resumption that went through says how late that was. Then the device is let
in again."""

import argparse
import multiprocessing
import resource
import socket
import time

from withdraw import HOST, OWN, H2, Signer, UNLIMITED, World, application, policy, redis, until, watch

DEVICE = "finance-laptops:laptop-0001"


def revoke(world, *more):
    world.command("revoke", "device", DEVICE, "--entity", "fod-finance", "-c", world.config, *more)


def written_at(store):
    for number, fields in store.xrevrange("belfry:events", count=10):
        if fields[b"kind"] == b"revocation":
            return int(number.split(b"-")[0]) / 1000
    raise AssertionError("no event of a revocation")


def knock(world, stop, out):
    """Resumes with a ticket as often as it can; tells when each handshake began that was resumed, and how many."""
    from tls_client import Visit
    with Visit(world, HOST, cert="laptop-0001", version="1.2") as visit:
        visit.ask("/")
        ticket = visit.ticket
    last, count, refused = 0.0, 0, 0.0
    while not stop.is_set():
        begun = time.time()
        try:
            with Visit(world, HOST, session=ticket, version="1.2") as visit:
                if visit.is_resumed:
                    last, count = begun, count + 1
                    continue
        except Exception:
            pass
        refused = refused or begun
    out.put((last, refused, count))


def main(rounds, connections, streams):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    fork = multiprocessing.get_context("fork")
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    fork.Process(target=application, args=(listener,), daemon=True).start()
    signer, taken, late, resumed = Signer("own-1"), [], [], 0
    with World(hosts=[HOST], extra_config=UNLIMITED) as world:
        world.begin()
        world.update("finance", lambda text: policy(text, signer, listener.getsockname()[1]))
        store = redis.Redis(unix_socket_path=str(world.redis_socket))
        for i in range(rounds):
            lines = [H2(world.tls(HOST, "laptop-0001", alpn=("h2",))) for _ in range(connections)]
            for line in lines:
                begun = [line.begin(HOST, "/events/1", headers=[("authorization", "Bearer " + signer.token(
                    OWN, "own-api", payload={"jti": f"{i}-{id(line)}-{k}"}))]) for k in range(streams)]
                while not all(line.streams[s][1] for s in begun):
                    line.turn()
            until(lambda: world.metric("belfry_requests_open") == connections * streams, "not all streams live")
            stop, out = fork.Event(), fork.Queue()
            knocker = fork.Process(target=knock, args=(world, stop, out))
            knocker.start()
            time.sleep(0.5)
            revoker = fork.Process(target=revoke, args=(world,))
            revoker.start()
            times, _ = watch(lines, streams)
            revoker.join()
            time.sleep(0.2)
            stop.set()
            last, _, count = out.get(timeout=10)
            knocker.join()
            begun = written_at(store)
            taken += [(t - begun) * 1000 for t in times]
            late.append((last - begun) * 1000)
            resumed += count
            for line in lines:
                line.tls.close()
            revoke(world, "--lift")
            until(lambda: world.ask(HOST, "/", cert="laptop-0001").problem != "device_revoked", "it is not lifted")
    taken.sort()
    print(f"{rounds} rounds of {connections * streams} streams: revoked to cut in ms: "
          f"p50 {taken[len(taken) // 2]:.1f}, p99 {taken[int(len(taken) * .99)]:.1f}, max {taken[-1]:.1f}")
    print(f"last handshake that resumed began, ms after the revocation was written: max {max(late):.1f} "
          f"({resumed} resumed in all)")
    assert taken[int(len(taken) * .99)] < 50, "p99 is not below 50 ms"
    assert max(late) < 50, "a ticket was resumed later than 50 ms"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", nargs="?", type=int, default=10)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--streams", type=int, default=100)
    main(**vars(parser.parse_args()))
