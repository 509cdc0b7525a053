# SPDX-License-Identifier: EUPL-1.2
"""HTTP/2 frames by hand, over real TLS: what no library would send, and what exactly came back."""

from hpack import Decoder, Encoder

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 1, 1, 4, 8, 32
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

FRAME_MAX = 16384  # RFC 9113 §4.2

# RFC 9113 §7
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(6, 12)


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in pairs))


def window_update(stream, by):
    return frame(WINDOW_UPDATE, 0, stream, by.to_bytes(4, "big"))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def request(authority, path="/", method="GET", *more, scheme="https"):
    """A good head's fields, and what else is told."""
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *more]


class Raw:
    """One connection. Nothing that goes out is looked at, nothing that comes in is hidden."""

    def __init__(self, world, host, cert=None, begin=PREFACE + settings()):
        self.host = host
        self.tls = world.tls(host, cert=cert, alpn=("h2",))
        self.encoder, self.decoder = Encoder(), Decoder()
        self.rest = b""
        self.frames = []  # (type, flags, stream, payload), all that came
        self.fields = {}  # stream → the fields of its answer
        self.is_over = False
        self.tls.sendall(begin)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tls.close()

    def block(self, fields):
        """Every field as a literal: no table makes one connection's requests differ."""
        out = b""
        for name, value in fields:
            name, value = (x if isinstance(x, bytes) else x.encode() for x in (name, value))
            out += b"\0" + length(len(name)) + name + length(len(value)) + value
        return out

    def headers(self, stream, fields, end=True, flags=END_HEADERS):
        """One frame, or as many as it takes."""
        block = self.block(fields)
        pieces = [block[at : at + FRAME_MAX] for at in range(0, len(block), FRAME_MAX)]
        out = b""
        for i, piece in enumerate(pieces):
            mine = (END_STREAM if end and not i else 0) | (flags if i + 1 == len(pieces) else 0)
            out += frame(CONTINUATION if i else HEADERS, mine, stream, piece)
        return out

    def send(self, *frames):
        self.tls.sendall(b"".join(frames))

    def get(self, stream, path="/", *more):
        self.send(self.headers(stream, request(self.host, path, "GET", *more)))

    def turn(self):
        """Takes what has come, waiting for it; False at the connection's end."""
        try:
            data = self.tls.recv(65536)
        except ConnectionError:  # it was closed while we still spoke
            data = b""
        self.is_over = not data
        self.rest += data
        while len(self.rest) >= 9 and len(self.rest) >= (whole := 9 + int.from_bytes(self.rest[:3], "big")):
            one, self.rest = self.rest[:whole], self.rest[whole:]
            self._take((one[3], one[4], int.from_bytes(one[5:9], "big"), one[9:]))
        return not self.is_over

    def _take(self, one):
        kind, flags, stream, payload = one
        self.frames.append(one)
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        if kind == HEADERS:
            assert flags & END_HEADERS and not flags & (PADDED | PRIORITISED)
            self.fields[stream] = self.decoder.decode(payload)

    def of(self, stream, kind):
        return [f for f in self.frames if f[0] == kind and f[2] == stream]

    def outcome(self, stream):
        """What became of that stream: (status, body), ("reset", code), ("goaway", code) or ("closed", None)."""
        while True:
            resets, goaways = self.of(stream, RST_STREAM), self.of(0, GOAWAY)
            if resets:
                return "reset", int.from_bytes(resets[0][3], "big")
            if any(f[1] & END_STREAM for f in self.of(stream, HEADERS) + self.of(stream, DATA)):
                return self.answer(stream)
            failed = [code for code in (int.from_bytes(f[3][4:8], "big") for f in goaways) if code]
            if failed:
                return "goaway", failed[0]
            if self.is_over or not self.turn():
                self.is_over = True
                return "closed", None

    def answer(self, stream):
        return int(dict(self.fields[stream])[":status"]), b"".join(f[3] for f in self.of(stream, DATA))

    def to_end(self):
        """The code of the GOAWAY that the connection ended with; None where there was none."""
        while self.turn():
            pass
        codes = [int.from_bytes(f[3][4:8], "big") for f in self.of(0, GOAWAY)]
        return codes[-1] if codes else None


def length(n):
    """A string's length, not Huffman (RFC 7541 §5.1 and §5.2)."""
    if n < 127:
        return bytes([n])
    out, n = bytearray([127]), n - 127
    while n > 127:
        out.append(n % 128 + 128)
        n //= 128
    return bytes(out + bytes([n]))
