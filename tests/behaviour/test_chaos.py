# SPDX-License-Identifier: EUPL-1.2
"""Noise over TLS, from a fixed seed: bytes of chance, requests and frames with something wrong in them, connections cut
anywhere. Whatever the gateway makes of it, it goes on, counts its requests out as it counted them in, keeps nothing,
and no sanitizer has anything to say. `CHAOS_SEED` and `CHAOS_S` give another seed and more time."""

import os
import random
import socket
import ssl
import struct
import time

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import H2Error

from callers import H2, read_answer
from world import World, until

OPEN = "open.finance.localhost"
SMALL = "small.finance.localhost"
SEED = int(os.environ.get("CHAOS_SEED", "20240517"))
BUDGET_S = float(os.environ.get("CHAOS_S", "15"))

PATHS = ["/", "/bytes/100", "/bytes/70000", "/chunked/5000", "/until-close/3000", "/status/204", "/status/304", "/reset",
         "/short", "/half-chunked", "/close-after", "/unread", "/echo", "/echo/chunked", "/stale", "/fields", "/ntlm",
         "/head/20/9000", "/.belfry/jwks.json", "/a%2fb", "/%00", "/answers/485454502f312e31", "/never"]
METHODS = ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PROPFIND"]


@pytest.fixture(scope="module")
def noisy():
    with World(workers=2, extra_config="timeouts: { head: 1s, stalled: 1s, handshake: 1s }\n") as made:
        yield made.begin()
        code = made.stop("gateway", patience_s=20)
        assert "Sanitizer" not in made.log_text() and "runtime error" not in made.log_text(), made.log_text()[-6000:]
        assert code == 0


def mutated(dice, raw):
    """A few bytes flipped, lost, doubled, or put in."""
    data = bytearray(raw)
    for _ in range(dice.choice((0, 1, 1, 1, 2, 5))):
        if not data:
            break
        at = dice.randrange(len(data))
        what = dice.randrange(5)
        if what == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif what == 1:
            del data[at:at + dice.choice((1, 1, 4, 30))]
        elif what == 2:
            data[at:at] = data[at:at + dice.choice((1, 9, 100))]
        elif what == 3:
            data[at:at] = dice.choice((b"\r\n", b"\n", b"\0", b":", b" ", b"\r\n\r\n", b"0\r\n\r\n", b"%", b"\xff"))
        else:
            data[at:at] = dice.randbytes(dice.choice((1, 2, 9, 64)))
    return bytes(data)


def h1_noise(dice):
    out = b""
    for _ in range(dice.choice((1, 1, 2, 4))):
        method, path = dice.choice(METHODS), dice.choice(PATHS)
        lines = [f"{method} {path} HTTP/1.1", f"host: {dice.choice((OPEN, SMALL))}"]
        body = dice.randbytes(dice.choice((0, 0, 5, 1000, 20000)))
        framing = dice.randrange(4)
        if framing == 0 and body:
            lines.append(f"content-length: {len(body) + dice.choice((0, 0, 0, 1, -1))}")
        elif framing == 1:
            lines.append("transfer-encoding: chunked")
            body = f"{len(body):x}\r\n".encode() * bool(body) + body + b"\r\n" * bool(body) + b"0\r\n\r\n"
        else:
            body = b""
        lines += dice.sample(["expect: 100-continue", "connection: close", "connection: x, keep-alive", "cookie: a=b",
                              "x-a: b", "upgrade: h2c", "traceparent: 00-1-2-3", "authorization: Bearer a.b.c"], 2)
        out += "\r\n".join([*lines, "", ""]).encode() + body
    return mutated(dice, out)


def h2_noise(dice):
    """Frames of a proper client, some of them changed, and frames of no client at all."""
    h2 = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False,
                                      normalize_outbound_headers=False))
    h2.initiate_connection()
    out = [h2.data_to_send()]
    for i in range(dice.choice((1, 3, 10))):
        stream = h2.get_next_available_stream_id()
        head = [(":method", dice.choice(METHODS)), (":scheme", dice.choice(("https", "https", "http"))),
                (":authority", dice.choice((OPEN, SMALL))), (":path", dice.choice(PATHS))]
        head += dice.sample([("x-a", "b"), ("X-B", "c"), ("te", "trailers"), ("connection", "close"), ("cookie", "a=b"),
                             ("content-length", "5"), ("host", OPEN), (":path", "/"), ("expect", "100-continue")],
                            dice.choice((0, 0, 1, 2)))
        try:
            ends = dice.random() < 0.5
            h2.send_headers(stream, head, end_stream=ends)
            if not ends:
                for _ in range(dice.choice((0, 1, 2))):
                    h2.send_data(stream, dice.randbytes(dice.choice((0, 5, 3000))),
                                 pad_length=dice.choice((None, None, 0, 50)))
                if dice.random() < 0.6:
                    h2.end_stream(stream)
            if dice.random() < 0.2:
                h2.reset_stream(stream, dice.choice((0, 5, 8, 99)))
            if dice.random() < 0.1:
                h2.ping(b"12345678")
            if dice.random() < 0.1:
                h2.update_settings({4: dice.choice((0, 1, 65535, 2**31 - 1)), 5: dice.choice((16384, 2**24 - 1))})
            if dice.random() < 0.1:
                h2.increment_flow_control_window(dice.choice((1, 2**20)), dice.choice((None, stream)))
        except H2Error:
            pass
        out.append(h2.data_to_send())
        if dice.random() < 0.3:  # a frame of chance
            payload = dice.randbytes(dice.choice((0, 1, 4, 5, 8, 40)))
            out.append(struct.pack(">I", len(payload))[1:] + bytes([dice.randrange(12), dice.choice((0, 1, 4, 5, 8, 0x2d))]) +
                       struct.pack(">I", dice.choice((0, stream, stream + 1, stream + 2, 2**31 - 1))) + payload)
    return out[0] + b"".join(frame if dice.random() < 0.8 else mutated(dice, frame) for frame in out[1:])


def one_client(world, dice):
    alpn = dice.choice(("http/1.1", "h2"))
    noise = {0: lambda: dice.randbytes(dice.choice((1, 100, 20000))), 1: lambda: mutated(dice, h2_noise(dice))}.get(
        dice.randrange(12), lambda: h1_noise(dice) if alpn == "http/1.1" else h2_noise(dice))()
    if dice.random() < 0.03:  # not even TLS
        with socket.create_connection(("127.0.0.1", world.port), timeout=5) as plain:
            plain.sendall(mutated(dice, bytes.fromhex("160301002f0100002b0303") + noise[:80]))
        return
    tls = world.tls(dice.choice((OPEN, SMALL)), alpn=(alpn,))
    try:
        tls.settimeout(0.02)
        while noise:
            n = dice.choice((1, 9, 100, 20000, len(noise)))
            tls.sendall(noise[:n])
            noise = noise[n:]
        for _ in range(dice.choice((0, 1, 3, 10))):
            if not tls.recv(dice.choice((1, 1000, 100000))):
                break
    except (OSError, ssl.SSLError):
        pass
    finally:
        if dice.random() < 0.3:
            tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        tls.close()


def test_noise_is_survived_and_leaves_nothing(noisy):
    dice = random.Random(SEED)
    end = time.monotonic() + BUDGET_S
    clients = 0
    noisy.origin.release.set()
    while time.monotonic() < end:
        round_seed = dice.getrandbits(64)
        try:
            one_client(noisy, random.Random(round_seed))
        except (OSError, ssl.SSLError) as wrong:
            assert noisy.gateway.poll() is None, (f"it died of client {clients}, seed {round_seed}: {wrong}",
                                                  noisy.log_text()[-6000:])
            raise
        clients += 1
        if clients % 100 == 0:  # among all that, a good client is served as ever
            with noisy.tls(OPEN) as tls:
                tls.sendall(f"GET /good HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode())
                assert read_answer(tls)[0].body == b"GET /good 0"
            with H2(noisy.tls(OPEN, alpn=("h2",))) as h2:
                assert h2.ask(OPEN, "/good").body == b"GET /good 0"
            noisy.origin.clear()
            noisy.origin.release.set()
    print(f"{clients} clients, seed {SEED}")
    assert noisy.gateway.poll() is None, noisy.log_text()[-6000:]
    until(lambda: noisy.metric("belfry_requests_open") == 0, "a request is still under way")
    until(lambda: noisy.metric("belfry_connections_open") == 0, "a connection is still open")
    assert noisy.metric("belfry_requests_total") > clients / 4
    for request in noisy.origin.requests:
        assert len(request.all("belfry-assertion")) == 1 and len(request.all("host")) == 1
