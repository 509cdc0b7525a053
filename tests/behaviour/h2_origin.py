# SPDX-License-Identifier: EUPL-1.2
"""An application that speaks HTTP/2, plain or under TLS, in the tests: it records what it was asked, and answers as the
path says, a thread for each stream. What no library would say goes out as raw frames."""

import re
import socket
import ssl
import struct
import threading

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (ConnectionTerminated, DataReceived, RequestReceived, StreamEnded, StreamReset, TrailersReceived,
                       WindowUpdated)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

BLOCK = b"x" * 16384
CONNECT_PROTOCOL = SettingCodes.ENABLE_CONNECT_PROTOCOL


class Gone(Exception):
    """The stream, or its connection, is over."""


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Stream:
    def __init__(self, peer, number, fields):
        self.peer, self.number, self.fields = peer, number, fields
        self.body, self.body_length, self.trailers = b"", 0, None
        self.ended = self.reset = None
        self.method, self.target = self.get(":method"), self.get(":path")

    def get(self, name):
        return dict(reversed(self.fields)).get(name)

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    # What a handler does

    def head(self, status=200, fields=(), end=False):
        with self.peer.lock:
            self.peer.h2.send_headers(self.number, [(":status", str(status)), *fields], end_stream=end)
            self.peer.flush()

    def data(self, data=b"", end=False):
        """As the windows let it."""
        while True:
            with self.peer.changed:
                self.check()
                room = min(self.peer.h2.local_flow_control_window(self.number), 16384) if data else 0
                if room or not data:
                    self.peer.h2.send_data(self.number, data[:room], end_stream=end and len(data) <= room)
                    self.peer.flush()
                    data = data[room:]
                    if not data:
                        return
                    continue
                self.peer.changed.wait(30)

    def trail(self, fields):
        with self.peer.lock:
            self.peer.h2.send_headers(self.number, fields, end_stream=True)
            self.peer.flush()

    def rst(self, code):
        with self.peer.lock:
            self.peer.h2.reset_stream(self.number, code)
            self.peer.flush()

    def raw(self, data):
        with self.peer.lock:
            self.peer.socket.sendall(data)

    def check(self):
        if self.reset is not None or self.peer.over:
            raise Gone

    def wait(self, condition):
        with self.peer.changed:
            while not condition():
                self.check()
                self.peer.changed.wait(30)


class Peer:
    """One connection of the gateway's."""

    def __init__(self, origin, plain, number):
        self.origin, self.socket, self.number = origin, plain, number
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.streams = {}
        self.over = False
        self.goaway = None
        self.h2 = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False,
                                               normalize_outbound_headers=False, header_encoding="utf-8"))

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def serve(self):
        try:
            if self.origin.tls:
                self.socket = self.origin.tls.wrap_socket(self.socket, server_side=True)
                self.origin.handshakes.append((self.socket.getpeercert(), self.socket.selected_alpn_protocol()))
                if self.socket.selected_alpn_protocol() != "h2":
                    return self.serve_h1()
            with self.lock:
                self.h2.local_settings = Settings(client=False, initial_values=self.origin.settings)
                self.h2.initiate_connection()
                self.flush()
            while data := self.socket.recv(65536):
                with self.lock:
                    for event in self.h2.receive_data(data):
                        self.take(event)
                    self.flush()
                    self.changed.notify_all()
        except (OSError, ProtocolError):
            pass
        finally:
            with self.lock:
                self.over = True
                self.changed.notify_all()
            self.origin.peers.pop(self.number, None)
            self.socket.close()

    def serve_h1(self):
        """Over TLS the gateway may have asked for HTTP/1.1; then each head gets one short answer."""
        head = b""
        while data := self.socket.recv(65536):
            head += data
            while b"\r\n\r\n" in head:
                head = head.partition(b"\r\n\r\n")[2]
                self.socket.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh1")

    def take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, RequestReceived):
            stream = self.streams[event.stream_id] = Stream(self, event.stream_id, event.headers)
            self.origin.requests.append(stream)
            threading.Thread(target=self.run, args=(stream,), daemon=True).start()
        elif isinstance(event, DataReceived):
            stream.body_length += len(event.data)
            if stream.body_length <= 1 << 20:
                stream.body += event.data
            if stream.target.startswith("/held"):
                if event.flow_controlled_length:
                    self.h2.increment_flow_control_window(event.flow_controlled_length)
            else:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, TrailersReceived):
            stream.trailers = event.headers
        elif isinstance(event, StreamEnded):
            stream.ended = True
        elif isinstance(event, StreamReset) and stream:
            stream.reset = int(event.error_code)
        elif isinstance(event, ConnectionTerminated):
            self.goaway = int(event.error_code)
        elif isinstance(event, WindowUpdated):
            pass

    def run(self, stream):
        try:
            answer(self.origin, stream)
        except (Gone, ProtocolError, OSError):
            pass


class H2Origin:
    def __init__(self, tls=None, settings=None):
        """`tls`: an SSLContext. `settings`: of HTTP/2, in its first frame."""
        self.tls, self.settings = tls, settings or {}
        self.handshakes = []  # (the gateway's certificate, the protocol agreed upon)
        self.requests, self.peers, self.connections = [], {}, 0
        self.release = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            peer = self.peers[self.connections] = Peer(self, plain, self.connections)
            threading.Thread(target=peer.serve, daemon=True).start()

    def clear(self):
        self.requests.clear()
        self.release = threading.Event()

    def seen(self, target):
        return [r for r in list(self.requests) if r.target == target]

    def end(self):
        """All connections, at once."""
        for peer in list(self.peers.values()):
            try:
                peer.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def first_time(origin, s):
    return len(origin.seen(s.target)) == 1


def answer(origin, s):
    path = s.target.split("?")[0]
    if s.get(":protocol") == "websocket":
        return websocket(s, path)
    if path.startswith("/refuse") and (path.startswith("/refuse-always") or first_time(origin, s)):
        return s.rst(ErrorCodes.REFUSED_STREAM)
    if path.startswith("/goaway-below") and first_time(origin, s):  # and what was asked before goes on
        s.raw(frame(7, 0, 0, struct.pack(">II", s.number - 2, 0)))
        return None
    if path.startswith("/rst/"):
        return s.rst(int(path.split("/")[2]))
    if path.startswith("/end"):
        return s.peer.socket.shutdown(socket.SHUT_RDWR)
    if path.startswith("/stale") and first_time(origin, s):
        return s.peer.socket.shutdown(socket.SHUT_RDWR)
    if path == "/bomb":  # one field of 4,000 bytes, and then its number in the table, without end
        field = b"\x40\x01x\x7f\xa1\x1e" + b"b" * 4000
        s.raw(frame(1, 0, s.number, b"\x88" + field + b"\xbe" * 12000))
        return s.raw(frame(9, 0, s.number, b"\xbe" * 16384) * 3 + frame(9, 4, s.number, b"\xbe" * 16384))
    if m := re.match(r"/raw/([0-9a-f]*)", path):  # HEADERS with this block, which ends the stream
        return s.raw(frame(1, 5, s.number, bytes.fromhex(m[1])))
    if m := re.match(r"/frames/([0-9a-f]*)/(\d+)", path):  # these bytes, so often
        return s.raw(bytes.fromhex(m[1]) * int(m[2]))
    if path.startswith("/never"):
        return s.wait(lambda: False)
    if path.startswith("/early-answer"):  # before the body, of which it wants no more
        s.head(fields=[("content-length", "2")])
        s.data(b"ok", end=True)
        return s.rst(ErrorCodes.NO_ERROR)
    if path.startswith("/103"):
        s.head(103, [("link", "</style.css>; rel=preload")])
    if m := re.match(r"/many-103/(\d+)", path):
        for _ in range(int(m[1])):
            s.head(103, [("link", "</a>")])
    if path.startswith("/held"):
        origin.release.wait(30)
        with s.peer.lock:
            s.peer.h2.increment_flow_control_window(1 << 30, s.number)  # for all the rest
            s.peer.flush()
    if path.startswith("/wait"):
        origin.release.wait(30)
    if path.startswith("/duplex"):
        s.head()
        sent = 0
        while not s.ended or sent < len(s.body):
            s.wait(lambda: len(s.body) > sent or s.ended)
            piece = s.body[sent:]
            if piece:
                s.data(piece)
            sent += len(piece)
        return s.data(end=True)
    s.wait(lambda: s.ended)
    if m := re.match(r"/bytes/(\d+)", path):
        return send(s, int(m[1]))
    if m := re.match(r"/unannounced/(\d+)", path):
        return send(s, int(m[1]), announced=False)
    if m := re.match(r"/status/(\d+)", path):
        return s.head(int(m[1]), end=True)
    if m := re.match(r"/head/(\d+)/(\d+)", path):  # so many fields, of so many bytes together
        count, size = int(m[1]), int(m[2]) // int(m[1])
        return s.head(fields=[(f"x-{i:03}", "h" * (size - 37)) for i in range(count)], end=True)
    if path.startswith("/short"):  # less than it announces
        s.head(fields=[("content-length", "100")])
        return s.data(b"half", end=True)
    if path.startswith("/half-rst"):
        s.head()
        s.data(b"half")
        return s.rst(ErrorCodes.INTERNAL_ERROR)
    if path.startswith("/half-end"):
        s.head()
        s.data(b"half")
        return s.peer.socket.shutdown(socket.SHUT_RDWR)
    if path.startswith("/pause"):
        s.head()
        s.data(b"ppppp")
        origin.release.wait(30)
        return s.data(b"!", end=True)
    if path.startswith("/trailers"):
        s.head(fields=[("trailer", "x-sum")])
        s.data(b"body")
        return s.trail([("x-sum", "42"), ("belfry-assertion", "forged")])
    if path.startswith("/echo"):
        s.head()
        return s.data(s.body, end=True)
    if path.startswith("/last"):  # a graceful end: this answer, and no stream after it
        s.raw(frame(7, 0, 0, struct.pack(">II", s.number, 0)))
    extra = []
    if path.startswith("/fields"):
        extra = [("set-cookie", "__Host-belfry=stolen; Secure"), ("set-cookie", "theirs=1"), ("belfry-assertion", "forged"),
                 ("x-kept", "yes")]
    if path.startswith("/ntlm"):
        extra = [("www-authenticate", "NTLM")]
    body = f"{s.method} {s.target} {s.body_length}".encode()
    s.head(fields=[("content-type", "text/plain"), ("content-length", str(len(body))), *extra], end=s.method == "HEAD")
    if s.method != "HEAD":
        s.data(body, end=True)
    return None


def send(s, length, announced=True):
    s.head(fields=[("content-length", str(length))] if announced else [], end=s.method == "HEAD")
    if s.method == "HEAD":
        return
    while length > len(BLOCK):
        s.data(BLOCK)
        length -= len(BLOCK)
    s.data(b"x" * length, end=True)


def websocket(s, path):
    """Echoes the tunnel's bytes; "/refused" is an ordinary answer."""
    if path.startswith("/refused"):
        s.head(403, [("content-length", "2")])
        return s.data(b"no", end=True)
    s.head(200, [("sec-websocket-protocol", "echo")] if s.get("sec-websocket-protocol") else [])
    sent = 0
    while True:
        s.wait(lambda: len(s.body) > sent or s.ended)
        if len(s.body) == sent:
            return s.data(end=True)
        piece = s.body[sent:]
        sent += len(piece)
        s.data(piece)


def server_context(chain, key, clients=None, alpn=("h2", "http/1.1")):
    """`clients`: the authorities of client certificates, which are then asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(chain), str(key))
    context.set_alpn_protocols(list(alpn))
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(str(clients))
    return context
