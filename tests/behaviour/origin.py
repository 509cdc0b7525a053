# SPDX-License-Identifier: EUPL-1.2
"""The application behind the gateway, in the tests: it records every byte of every request head and body, and
answers as its path says. Plain sockets and threads, so that it can also answer as no library would."""

import re
import select
import socket
import threading
import time

from websockets.frames import Opcode
from websockets.server import ServerConnection
from websockets.utils import accept_key

BLOCK = b"x" * 65536


class Request:
    def __init__(self, head, connection):
        self.raw = head
        self.connection = connection  # a number: which of our connections it came on
        self.body = b""
        self.body_length = 0
        self.trailers = []
        self.line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.method, self.target, self.version = self.line.split(" ")
        self.fields = [tuple(line.split(": ", 1)) for line in lines]

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name]

    def get(self, name):
        return (self.all(name) or [None])[0]


class Gone(Exception):
    pass


class Origin:
    """`paths` maps a path prefix to a function (peer, request); what is not there is answered with 200 and its target."""

    def __init__(self, address="127.0.0.1", port=0):
        self.address = address
        self.listener = socket.create_server((address, port), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.requests = []
        self.connections = 0
        self.peers = {}  # number of a connection → its socket, while it is open
        self.open = 0
        self.lock = threading.Lock()
        self.release = threading.Event()  # what "/wait" waits for
        self.wire = None  # a dict: each connection's socket → every byte that has come on it since
        threading.Thread(target=self._accept, daemon=True).start()

    def clear(self):
        with self.lock:
            self.requests = []
            self.wire = None
        self.release = threading.Event()

    def seen(self, target):
        return [r for r in list(self.requests) if r.target == target]

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:  # a test has closed it
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer, self.connections), daemon=True).start()

    def _serve(self, peer, number):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open += 1
        self.peers[number] = peer
        buffer = bytearray()
        try:
            while self._one(peer, buffer, number):
                pass
        except (OSError, Gone, ValueError):  # what is no request: the body that "/unread" did not read
            pass
        finally:
            self.open -= 1
            del self.peers[number]
            peer.close()

    def _fill(self, peer, buffer):
        more = peer.recv(262144)
        if not more:
            raise Gone
        buffer += more
        with self.lock:
            if self.wire is not None:
                self.wire.setdefault(peer, bytearray()).extend(more)

    def _line(self, peer, buffer):
        while (end := buffer.find(b"\r\n")) < 0:
            self._fill(peer, buffer)
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        return line

    def _one(self, peer, buffer, number):
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            self._fill(peer, buffer)
        request = Request(bytes(buffer[: end + 4]), number)
        del buffer[: end + 4]
        with self.lock:
            self.requests.append(request)
        path = request.target.split("?")[0]
        if path.startswith("/held"):  # the body waits, too
            self.release.wait(30)
        if not path.startswith("/unread"):
            self._body(peer, buffer, request)
        if request.target.startswith("/answers/"):  # "/answers/HEX": exactly these bytes, then the end
            peer.sendall(bytes.fromhex(path.rsplit("/", 1)[1]))
            return False
        if request.target.startswith("/left-open/"):  # the same, and then it waits for the gateway's end
            peer.sendall(bytes.fromhex(path.rsplit("/", 1)[1]))
            while peer.recv(65536):
                pass
            return False
        if path.startswith("/ws-says/"):  # "/ws-says/HEX": a 101 with these fields, "KEY" and all
            accept = accept_key(request.get("sec-websocket-key"))
            fields = bytes.fromhex(path.rsplit("/", 1)[1]).replace(b"KEY", accept.encode())
            peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n\x81\x02Hi")
            while peer.recv(65536):
                pass
            return False
        if path.startswith("/ws"):
            return self._websocket(peer, buffer, request, path)
        if request.target.startswith("/then/"):  # "/then/HEX": exactly these bytes, and it goes on as if that were all
            peer.sendall(bytes.fromhex(path.rsplit("/", 1)[1]))
            return True
        if request.target.startswith("/surplus/"):  # a whole answer, and these bytes when released
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            self.release.wait(30)
            peer.sendall(bytes.fromhex(path.rsplit("/", 1)[1]))
            return True
        return self._answer(peer, request, path)

    def _body(self, peer, buffer, request):
        def take(n):
            while n > 0:
                if not buffer:
                    self._fill(peer, buffer)
                piece = bytes(buffer[:n])
                del buffer[: len(piece)]
                n -= len(piece)
                request.body_length += len(piece)
                if request.body_length <= 1 << 20:
                    request.body += piece
                if request.target.startswith("/slow-read"):
                    time.sleep(0.001)

        if request.get("transfer-encoding"):
            while size := int(self._line(peer, buffer).split(b";")[0], 16):
                take(size)
                self._line(peer, buffer)
            while line := self._line(peer, buffer):
                request.trailers.append(tuple(line.decode("latin-1").split(": ", 1)))
        else:
            take(int(request.get("content-length") or 0))

    def _answer(self, peer, request, path):
        head = request.method == "HEAD"
        if m := re.fullmatch(r"/bytes/(\d+)", path):
            return self._send(peer, int(m[1]), head)
        if m := re.fullmatch(r"/priority/(.+)/(\d+)", path):
            peer.sendall(f"HTTP/1.1 200 OK\r\npriority: {m[1]}\r\ncontent-length: {m[2]}\r\n\r\n".encode())
            peer.sendall(b"p" * int(m[2]))
            return True
        if m := re.fullmatch(r"/chunked/(\d+)", path):
            return self._chunked(peer, int(m[1]))
        if m := re.fullmatch(r"/until-close/(\d+)", path):
            peer.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"y" * int(m[1]))
            return False
        if m := re.fullmatch(r"/status/(\d+)", path):
            peer.sendall(f"HTTP/1.1 {m[1]} Whatever\r\ncontent-length: 0\r\n\r\n".encode())
            return True
        if path.startswith("/echo"):
            peer.sendall(b"HTTP/1.1 200 OK\r\n" + (b"transfer-encoding: chunked\r\n\r\n" if path == "/echo/chunked"
                         else f"content-length: {len(request.body)}\r\n\r\n".encode()))
            return self._echo(peer, request.body, path == "/echo/chunked")
        if m := re.fullmatch(r"/head/(\d+)/(\d+)", path):  # so many fields, of so many bytes together
            count, size = int(m[1]), int(m[2]) // int(m[1])
            fields = "".join(f"x-{i:03}: ".ljust(size - 2, "h") + "\r\n" for i in range(count))
            peer.sendall(f"HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\nok".encode())
            return True
        if m := re.fullmatch(r"/pause/(\d+)", path):  # so many bytes, and one more when released
            peer.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {int(m[1]) + 1}\r\n\r\n".encode() + b"p" * int(m[1]))
            self.release.wait(30)
            peer.sendall(b"!")
            return True
        if path.startswith("/stale") and len([r for r in self.requests if r.connection == request.connection]) > 1:
            return False  # a connection that was used before ends without an answer
        if path.startswith("/never"):  # it reads, and says nothing until the connection ends
            while peer.recv(65536):
                pass
            return False
        if path.startswith("/wait"):
            self.release.wait(30)
        if path.startswith("/reset"):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            return False
        if path.startswith("/short"):  # less than it announces
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            return False
        if path.startswith("/half-chunked"):
            peer.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
            return False
        if path.startswith("/close-after"):  # a whole answer, and then the end, unannounced
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            return False
        if m := re.fullmatch(r"/early/(\d+)", path):  # a 1xx now, the answer when released
            peer.sendall(f"HTTP/1.1 {m[1]} Early\r\nlink: </style.css>; rel=preload\r\nlink: </b.css>\r\n"
                         "set-cookie: __Host-belfry=stolen\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n".encode())
            self.release.wait(30)
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate")
            return True
        if m := re.fullmatch(r"/early-flood/(\d+)/(\d+)", path):  # so many, with a field of so many bytes
            peer.sendall(f"HTTP/1.1 103 Early\r\nlink: <{'a'.ljust(int(m[2]), 'a')}>\r\n\r\n".encode() * int(m[1]))
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            return True
        if path.startswith("/trailers"):  # "/trailers/empty": nothing else
            body = b"" if path == "/trailers/empty" else b"5\r\nhello\r\n"
            peer.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n" + body + b"0\r\n"
                         b"X-Sum: 42\r\nx-empty:\r\ncontent-length: 7\r\nset-cookie: a=b\r\n"
                         b"belfry-assertion: forged\r\n\r\n")
            return True
        if path.startswith("/events"):  # server-sent events, one now and one when released
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                         b"9\r\ndata: 1\n\n\r\n")
            self.release.wait(30)
            peer.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
            return True
        if path.startswith("/ticks"):  # one every 100 ms, until released
            release, ticks = self.release, 0
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            while not release.wait(0.1):
                ticks += 1
                event = f"data: {ticks}\n\n".encode()
                peer.sendall(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            peer.sendall(b"0\r\n\r\n")
            return True
        extra = b""
        if path.startswith("/fields"):
            extra = (b"set-cookie: __Host-belfry=stolen; Secure\r\nset-cookie: theirs=1\r\nbelfry-assertion: forged\r\n"
                     b"connection: x-private\r\nx-private: hidden\r\nkeep-alive: timeout=5\r\nx-kept: yes\r\n")
        if path.startswith("/ntlm"):
            extra = b"www-authenticate: NTLM\r\n"
        body = f"{request.method} {request.target} {request.body_length}".encode()
        peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n" + extra +
                     f"content-length: {len(body)}\r\n\r\n".encode() + (b"" if head else body))
        return True

    def _websocket(self, peer, buffer, request, path):
        """Debian's python3-websockets on our socket. "/ws/late" accepts when released, "/ws/close/CODE" closes at the
        first message, "/ws/half" says half a frame, "/ws/push" speaks first, "/ws/end" ends without a word, "/ws/stay"
        answers nothing; else all comes back."""
        if path == "/ws/late":
            self.release.wait(30)
            request.was_early = bool(buffer or select.select([peer], [], [], 0)[0])
        end = ServerConnection(subprotocols=["chat"], max_size=None)
        request.frames, request.ended = [], None
        end.receive_data(request.raw + bytes(buffer))
        buffer.clear()
        while True:
            for event in end.events_received():
                if not hasattr(event, "opcode"):
                    end.send_response(end.accept(event))
                    if path == "/ws/push":
                        end.send_text(b"first")
                    if path == "/ws/end":
                        peer.sendall(b"".join(end.data_to_send()))
                        return False
                    continue
                request.frames.append(event)
                if event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT) or path == "/ws/stay":
                    continue  # a ping and a Close have had their answers
                if path == "/ws/half":  # of a frame
                    peer.sendall(b"\x82\x05ab")
                elif m := re.fullmatch(r"/ws/close/(\d+)", path):
                    end.send_close(int(m[1]), "so be it")
                else:
                    say = {Opcode.TEXT: end.send_text, Opcode.BINARY: end.send_binary}
                    say.get(event.opcode, end.send_continuation)(event.data, event.fin)
            peer.sendall(b"".join(end.data_to_send()))
            if end.close_sent and end.close_rcvd:
                request.ended = end.close_rcvd.code
                return False
            more = peer.recv(262144)
            if not more:
                request.ended = "end"
                return False
            end.receive_data(more)

    def _send(self, peer, length, head):
        peer.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n".encode())
        while length and not head:
            piece = BLOCK[: min(length, len(BLOCK))]
            peer.sendall(piece)
            length -= len(piece)
        return True

    def _echo(self, peer, body, in_chunks):
        while body:
            piece, body = body[:10007], body[10007:]
            peer.sendall(f"{len(piece):X}\r\n".encode() + piece + b"\r\n" if in_chunks else piece)
        if in_chunks:
            peer.sendall(b"0\r\n\r\n")
        return True

    def _chunked(self, peer, length):
        peer.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while length:
            piece = BLOCK[: min(length, 1000)]
            peer.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            length -= len(piece)
        peer.sendall(b"0\r\n\r\n")
        return True
