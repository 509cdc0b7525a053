# SPDX-License-Identifier: EUPL-1.2
"""Who asks: a browser, a service, an h2 client that can say what no library would, and what each of them is owed."""

import base64
import json
import os
import re

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import (ConnectionTerminated, DataReceived, InformationalResponseReceived, ResponseReceived,
                       StreamEnded, StreamReset, TrailersReceived)
from h2.exceptions import ProtocolError
from websockets.connection import Connection, Side
from websockets.utils import accept_key

from world import Answer, parse_answer  # before what lies in demo/, whose place it knows
from sign_in import BROWSER

SERVICE = ("accept: application/json",)
CALLERS = {"browser": BROWSER, "service": SERVICE}
GOAWAY = 7  # RFC 9113 §6.8


class Reset(Exception):
    """The gateway ended this stream without an answer; `code` is its error code."""

    def __init__(self, code):
        super().__init__(f"RST_STREAM {code}")
        self.code = code


class Ended(Exception):
    """The connection is over; `code` is the GOAWAY's error code, None where there was none."""

    def __init__(self, code):
        super().__init__(f"the connection ended, GOAWAY {code}")
        self.code = code


class H2:
    """One HTTP/2 connection on a TLS socket. Header fields go out as they are given."""

    def __init__(self, tls):
        assert tls.selected_alpn_protocol() == "h2"
        self.tls = tls
        self.connection = H2Connection(H2Configuration(
            client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False,
            header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.rest = b""
        self.streams = {}  # id → [fields, body, is whole, reset code]
        self.early = {}  # id → the 1xx, as their fields
        self.trailers = {}  # id → fields
        self.goaway = None  # the code of the latest
        self.last_streams = []  # of each GOAWAY, the last stream that it says is taken
        self.frames = []  # (type, flags, stream) of all that has come
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tls.close()

    def flush(self):
        self.tls.sendall(self.connection.data_to_send())

    def begin(self, authority, path="/", method="GET", headers=(), body=None, scheme="https", end=True):
        """Sends a request; `headers`: (name, value). Its stream's number."""
        stream = self.connection.get_next_available_stream_id()
        self.streams[stream] = [None, b"", False, None]
        head = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
        head = [(name, value) for name, value in head if value is not None]
        self.connection.send_headers(stream, [*head, *headers], end_stream=end and body is None)
        if body is not None:
            self.connection.send_data(stream, body, end_stream=end)
        self.flush()
        return stream

    def send_body(self, stream, body):
        """All of it, as fast as the windows let it; then the end."""
        while body:
            room = min(self.connection.local_flow_control_window(stream), 16384)
            if room:
                self.connection.send_data(stream, body[:room])
                body = body[room:]
                self.flush()
            else:
                self.turn()
        self.connection.end_stream(stream)
        self.flush()

    def turn(self):
        """Takes what has come, waiting for it."""
        data = self.tls.recv(65536)
        if not data:
            raise Ended(self.goaway)
        self.take(data)

    def take(self, data):
        """These bytes have come."""
        events = []
        self.rest += data
        while len(self.rest) >= 9 and len(self.rest) >= (whole := 9 + int.from_bytes(self.rest[:3], "big")):
            frame, self.rest = self.rest[:whole], self.rest[whole:]
            self.frames.append((frame[3], frame[4], int.from_bytes(frame[5:9], "big")))
            try:
                events += self.connection.receive_data(frame)
            except ProtocolError as wrong:
                raise AssertionError(f"the gateway breaks the protocol: {wrong}") from wrong
            if frame[3] == GOAWAY:  # for the library that is the end; for the streams under way it is not
                self.connection.state_machine.state = ConnectionState.CLIENT_OPEN
        for event in events:
            stream = self.streams.get(getattr(event, "stream_id", None))
            if isinstance(event, ConnectionTerminated):
                self.goaway = int(event.error_code)
                self.last_streams.append(event.last_stream_id)
            elif stream is None:
                continue
            elif isinstance(event, ResponseReceived):
                stream[0] = event.headers
            elif isinstance(event, InformationalResponseReceived):
                self.early.setdefault(event.stream_id, []).append(event.headers)
            elif isinstance(event, TrailersReceived):
                self.trailers[event.stream_id] = event.headers
            elif isinstance(event, DataReceived):
                stream[1] += event.data
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                stream[2] = True
            elif isinstance(event, StreamReset):
                stream[3] = int(event.error_code)
        self.flush()

    def end(self, stream):
        """The answer of that stream."""
        held = self.streams[stream]
        while not held[2] and held[3] is None:
            self.turn()
        if not held[2]:
            raise Reset(held[3])
        fields = [(name, value) for name, value in held[0] if name != ":status"]
        return Answer(int(dict(held[0])[":status"]), fields, held[1], "HTTP/2")

    def tunnel(self, authority, path, headers=(), protocol="websocket", version="13"):
        """An extended CONNECT (RFC 8441 §4). Its stream's number."""
        head = [(":protocol", protocol)] + ([("sec-websocket-version", version)] if version else [])
        return self.begin(authority, path, method="CONNECT", headers=[*head, *headers], end=False)

    def ask(self, authority, path="/", **more):
        return self.end(self.begin(authority, path, **more))


class WebSocket:
    """A client's end of one, by python3-websockets: `send` takes bytes, `receive` waits for some, b"" at the end."""

    def __init__(self, send, receive, close):
        self.end = Connection(Side.CLIENT, max_size=None)
        self.send, self.receive, self.close = send, receive, close
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def flush(self):
        self.send(b"".join(self.end.data_to_send()))

    def say(self, data):
        self.end.send_text(data.encode()) if isinstance(data, str) else self.end.send_binary(data)
        self.flush()

    def bye(self, code, reason=""):
        self.end.send_close(code, reason)
        self.flush()

    def take(self, data):
        self.end.receive_data(data)
        self.events += self.end.events_received()
        self.flush()

    def frame(self):
        """The next that comes; None at the end."""
        while not self.events:
            data = self.receive()
            if not data:
                return None
            self.take(data)
        return self.events.pop(0)

    @property
    def said_bye(self):
        """(code, reason) of the other side's Close."""
        return self.end.close_rcvd and (self.end.close_rcvd.code, self.end.close_rcvd.reason)


UPGRADE = ("connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13")


def upgrade(world, host, path, headers=(), lines=UPGRADE, key=None, behind=b"", method="GET", **tls):
    """Asks over HTTP/1.1: (the answer's head, a WebSocket or None, the TLS socket and what came behind)."""
    tls = world.tls(host, **tls)
    key = base64.b64encode(os.urandom(16)).decode() if key is None else key
    keys = [f"sec-websocket-key: {key}"] if key else []
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *lines, *keys, *headers]
    tls.sendall("\r\n".join([*lines, "", ""]).encode() + behind)
    rest = b""
    while b"\r\n\r\n" not in rest:
        piece = tls.recv(65536)
        assert piece, "the connection ended without an answer"
        rest += piece
    if not rest.startswith(b"HTTP/1.1 101 "):
        answer, rest = read_answer(tls, rest)
        return answer, None, tls, rest
    head, _, rest = rest.partition(b"\r\n\r\n")
    answer = Answer(101, [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")[1:]], b"", "HTTP/1.1")
    assert answer.get("connection").lower() == "upgrade" and answer.get("upgrade") == "websocket"
    assert answer.all("sec-websocket-accept") == [accept_key(key)]
    assert answer.get("transfer-encoding") is None and answer.get("content-length") is None
    socket = WebSocket(tls.sendall, lambda: tls.recv(65536), tls.close)
    socket.tls = tls
    socket.take(rest)
    return answer, socket, tls, b""


def tunnel(world, host, path, headers=(), behind=b"", h2=None, **more):
    """The same over HTTP/2, by an extended CONNECT on `h2` or a connection of its own."""
    h2 = h2 or H2(world.tls(host, alpn=("h2",)))
    while 8 not in h2.connection.remote_settings:  # SETTINGS_ENABLE_CONNECT_PROTOCOL
        h2.turn()
    stream = h2.tunnel(host, path, headers, **more)
    held = h2.streams[stream]
    if behind:
        h2.connection.send_data(stream, behind)
        h2.flush()
    while held[0] is None and held[3] is None:
        h2.turn()
    if held[3] is not None:
        raise Reset(held[3])
    answer = Answer(int(dict(held[0])[":status"]), [f for f in held[0] if f[0] != ":status"], b"", "HTTP/2")
    if answer.status != 200 or held[2]:
        return h2.end(stream), None, h2, stream
    assert answer.get("sec-websocket-accept") is None and answer.get("connection") is None

    def send(data):
        while data:
            room = min(h2.connection.local_flow_control_window(stream), 16384)
            if not room:
                h2.turn()
                continue
            h2.connection.send_data(stream, data[:room])
            data = data[room:]
            h2.flush()

    def receive():
        while not held[1] and not held[2]:
            if held[3] is not None:
                raise Reset(held[3])
            h2.turn()
        data, held[1] = held[1], b""
        return data

    socket = WebSocket(send, receive, h2.tls.close)
    socket.h2, socket.stream = h2, stream
    return answer, socket, h2, stream


OPENERS = {"1.1": upgrade, "2": tunnel}


def read_answer(tls, rest=b"", to_head=False):
    """One HTTP/1.1 answer with a Content-Length, and what came behind it; 1xx in front are passed over."""
    while b"\r\n\r\n" not in rest or rest.startswith(b"HTTP/1.1 1"):
        if b"\r\n\r\n" in rest:
            rest = rest.partition(b"\r\n\r\n")[2]
            continue
        piece = tls.recv(65536)
        assert piece, f"the connection ended behind {rest!r}"
        rest += piece
    whole = rest.index(b"\r\n\r\n") + 4
    if not to_head:
        whole += int(parse_answer(rest).get("content-length"))
    while len(rest) < whole:
        piece = tls.recv(65536)
        assert piece, "the connection ended in the middle of an answer"
        rest += piece
    return parse_answer(rest[:whole]), rest[whole:]


def check_refusal(world, answer, caller, status, reason, problem=None, language="en"):
    """What every refused caller is owed, and what the audit holds of it; returns that event."""
    assert answer.status == status, answer
    reference = answer.get("belfry-reference")
    event = world.decision(reference)
    assert event["belfry.reason_code"] == reason, event
    assert event["http.response.status_code"] == status and "denied" in event["event.type"]
    assert event["http.version"] == answer.version.removeprefix("HTTP/")
    assert answer.get("cache-control") == "no-store" and answer.get("x-content-type-options") == "nosniff"
    if caller == "browser":
        assert answer.get("content-type") == "text/html; charset=utf-8"
        assert answer.get("content-language") == language
        page = answer.body.decode()
        assert f'<html lang="{language}">' in page
        assert re.search(r'class="reference">([^<]+)<', page)[1] == reference
        assert "default-src 'none'" in answer.get("content-security-policy") and "<script" not in page
    else:
        assert answer.get("content-type") == "application/problem+json"
        told = json.loads(answer.body)
        assert told["type"] == f"urn:belfry:problem:{problem or reason}" and told["status"] == status
        assert told["reference"] == reference and told["title"] and told["detail"]
    if status == 503:
        assert int(answer.get("retry-after")) > 0
    return event
