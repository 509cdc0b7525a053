# SPDX-License-Identifier: EUPL-1.2
"""Bodies: byte for byte whatever their framing, of any size without growing the gateway, and none of them in the way of
another."""

import os
import pathlib
import random
import re
import subprocess

import pytest

from callers import H2, read_answer
from world import BELFRY, World

OPEN = "open.finance.localhost"
SMALL = "small.finance.localhost"  # takes bodies up to 64 KiB

IS_SANITIZED = b"__asan_init" in BELFRY.read_bytes()
MIB = 1 << 20
BULK_BYTES = 256 * MIB if IS_SANITIZED else 1024 * MIB
GROWTH_KIB = 24 * 1024 if IS_SANITIZED else 8 * 1024

SIZES = sorted({0, 1, 2, 15, 16, 17, 4095, 4096, 200000, 999983, MIB,
                *(edge * factor + off for edge in (16384, 65536) for factor in (1, 2) for off in (-9, -1, 0, 1, 9))})


@pytest.fixture(scope="module")
def bodies():
    return [random.Random(size).randbytes(size) for size in SIZES]


def in_chunks(body, seed):
    """Chunked coding with pieces of odd sizes."""
    dice = random.Random(seed)
    out = b""
    while body:
        n = dice.choice((1, 7, 1000, 16384, 16385, 65536, 300000))
        piece, body = body[:n], body[n:]
        out += f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    return out + b"0\r\n\r\n"


def read_chunked(tls):
    """An answer in chunks: (its head, its body)."""
    file = tls.makefile("rb")
    head = b"".join(iter(file.readline, b"\r\n"))
    assert b"transfer-encoding: chunked" in head and b"content-length" not in head
    body = b""
    while size := int(file.readline(), 16):
        body += file.read(size)
        assert file.readline() == b"\r\n"
    assert file.readline() == b"\r\n"
    file.detach()
    return head, body


@pytest.mark.parametrize("down", ["length", "chunked"])
@pytest.mark.parametrize("up", ["length", "chunked"])
def test_h1_bodies_of_any_size_arrive_byte_for_byte(world, bodies, up, down):
    with world.tls(OPEN) as tls:
        for body in bodies:
            framing = f"content-length: {len(body)}" if up == "length" else "transfer-encoding: chunked"
            path = "/echo/chunked" if down == "chunked" else "/echo"
            tls.sendall(f"POST {path} HTTP/1.1\r\nhost: {OPEN}\r\n{framing}\r\n\r\n".encode() +
                        (body if up == "length" else in_chunks(body, len(body))))
            got = read_chunked(tls)[1] if down == "chunked" else read_answer(tls)[0].body
            assert got == body, len(body)
            assert world.origin.requests.pop().body == body
    assert not world.origin.requests


@pytest.mark.parametrize("down", ["length", "chunked"])
@pytest.mark.parametrize("up", ["length", "unknown"])
def test_h2_bodies_of_any_size_arrive_byte_for_byte(world, bodies, up, down):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        for body in bodies:
            path = "/echo/chunked" if down == "chunked" else "/echo"
            headers = [("content-length", str(len(body)))] if up == "length" else []
            stream = h2.begin(OPEN, path, method="POST", headers=headers, end=False)
            h2.send_body(stream, body)
            answer = h2.end(stream)
            assert answer.body == body, len(body)
            assert (answer.get("content-length") is None) == (down == "chunked")
            seen = world.origin.requests.pop()
            assert seen.body == body
            assert seen.get("content-length") == (str(len(body)) if up == "length" else None)
    assert not world.origin.requests


@pytest.mark.parametrize("http", ["1.1", "2"])
@pytest.mark.parametrize("path", ["/bytes/300001", "/chunked/300001", "/until-close/300001"])
def test_answers_of_all_framings_are_whole(world, path, http):
    answer = world.ask(OPEN, path, http=http)
    assert answer.status == 200 and answer.body.count(b"x" if "close" not in path else b"y") == 300001


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size,status", [(65536, 200), (65537, 413)])
def test_the_limit_of_a_body_is_exact(world, size, status, framing):
    body = b"b" * size
    with H2(world.tls(SMALL, alpn=("h2",))) as h2:
        headers = [("content-length", str(size))] if framing == "length" else []
        stream = h2.begin(SMALL, "/echo", method="POST", headers=headers, end=False)
        try:
            h2.send_body(stream, body)
        except Exception as wrong:  # the stream is over before its body is: that is the point
            assert status == 413, wrong
        answer = h2.end(stream)
        assert answer.status == status and (status == 413 or answer.body == body)
    with world.tls(SMALL) as tls:
        how = f"content-length: {size}" if framing == "length" else "transfer-encoding: chunked"
        tls.sendall(f"POST /echo HTTP/1.1\r\nhost: {SMALL}\r\n{how}\r\n\r\n".encode() +
                    (body if framing == "length" else in_chunks(body, 1)))
        answer = read_answer(tls)[0]
    assert answer.status == status and (status == 413 or answer.body == body)
    assert status == 200 or answer.problem == "body_too_large"


# Nobody is in the way of another.


def test_a_stream_that_is_not_read_stalls_none_of_the_99_others(world):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        h2.connection.increment_flow_control_window(1 << 26)
        h2.flush()
        stalled = h2.begin(OPEN, "/bytes/90000000")
        del h2.streams[stalled]  # what comes of it is never acknowledged
        others = [h2.begin(OPEN, "/bytes/100000") for _ in range(99)]
        for other in others:
            assert len(h2.end(other).body) == 100000


def test_an_upload_that_nobody_takes_stalls_none_of_the_99_others(world):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        stalled = h2.begin(OPEN, "/held", method="POST", headers=[("content-length", "500000")], end=False)
        sent = 0
        while sent < 65535:  # its window, which nobody opens
            n = min(h2.connection.max_outbound_frame_size, 65535 - sent)
            while h2.connection.local_flow_control_window(stalled) < n:
                h2.turn()
            h2.connection.send_data(stalled, b"s" * n)
            sent += n
        h2.flush()
        for i in range(99):
            body = random.Random(i).randbytes(30000)
            stream = h2.begin(OPEN, "/echo", method="POST", end=False)
            h2.send_body(stream, body)
            assert h2.end(stream).body == body
        world.origin.release.set()
        h2.send_body(stalled, b"s" * (500000 - sent))
        assert h2.end(stalled).body == b"POST /held 500000"


# Size costs time, not memory.


def peak_kib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


@pytest.fixture(scope="module")
def fresh():
    """A gateway on which nothing large has passed before. Of what is freed, ASan keeps little from being used again."""
    with pytest.MonkeyPatch.context() as patch:
        options = "quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
        patch.setenv("ASAN_OPTIONS", f"{os.environ.get('ASAN_OPTIONS', '')}:{options}")
        made = World(workers=1)
        made.__enter__().begin()
    with made:
        yield made
        assert made.stop("gateway", patience_s=20) == 0
        assert "Sanitizer" not in made.log_text() and "runtime error" not in made.log_text(), made.log_text()[-6000:]


@pytest.mark.parametrize("http,streams", [("1.1", 1), ("2", 1), ("2", 10)])
def test_a_gigabyte_up_and_down_at_once_leaves_the_gateway_as_small_as_it_was(fresh, http, streams):
    pid = fresh.gateway.pid
    assert fresh.ask(OPEN, "/small", http=http).status == 200
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is counted from here
    before = fresh.rss_kib()
    size = BULK_BYTES // streams
    sparse = fresh.folder / "sparse"
    with open(sparse, "wb") as file:
        file.truncate(size)
    words = ["curl", "-sS", "--fail", f"--http{http}", "--cacert", fresh.trust, "--resolve",
             f"{OPEN}:{fresh.port}:127.0.0.1", "--parallel", "--parallel-max", str(2 * streams), "-w",
             "%{http_code} %{size_upload} %{size_download}\n"]
    for i in range(streams):
        words += ["-T", sparse, "-o", "/dev/null", f"https://{OPEN}:{fresh.port}/up/{http}/{streams}/{i}"]
    words += ["-o", "/dev/null", f"https://{OPEN}:{fresh.port}/bytes/{size}"] * streams  # behind: -T takes the next URL
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [tuple(map(int, line.split())) for line in done.stdout.split("\n") if line]
    assert sum(up for _, up, _ in lines) == size * streams
    assert sum(down for _, _, down in lines) >= size * streams
    assert {status for status, _, _ in lines} == {200}
    for i in range(streams):
        assert fresh.origin.seen(f"/up/{http}/{streams}/{i}")[0].body_length == size
    growth = peak_kib(pid) - before
    print(f"{http} {streams} streams, {BULK_BYTES >> 20} MiB each way: grown by {growth} KiB at most")
    assert growth < GROWTH_KIB
