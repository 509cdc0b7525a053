# SPDX-License-Identifier: EUPL-1.2
"""A wire between the gateway and something that it asks (the store, a provider), which can be cut, slow or lying. On
both sides it is the real thing, or seems to be: over TLS it has the server's own certificate."""

import contextlib
import os
import random
import select
import socket
import ssl
import threading
import time

SLOW_S = 5
# How a part may be away, beside stopping its process: `gone` refuses connections, `hung` takes them and says nothing,
# `slow` says everything SLOW_S late, `wrong` gives an answer of the protocol's that says no, `garbage` no answer of it.
WAYS = ("gone", "hung", "slow", "wrong", "garbage")
# And of what begins with `loses`, the answers alone: `lost` cuts the connection in place of the answer, `held` keeps the
# answer back for as long as it is held. Whatever was asked has been done.
HTTP_WRONG = b"HTTP/1.1 500 Oops\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
REDIS_WRONG = b"-LOADING Redis is loading the dataset in memory\r\n"


class Wire:
    """`here` and `there`: ("127.0.0.1", port) or the path of a unix socket. `server` and `client`: TLS contexts, or
    none; `name`: the server's. `wrong`: what it answers in that way."""

    def __init__(self, here, there, wrong, server=None, client=None, name=None):
        self.here, self.there, self.wrong = here, there, wrong
        self.server, self.client, self.name = server, client, name
        self.way = "through"
        self.loses = b""
        self.has_lost = threading.Event()
        self.dice = random.Random(7)
        self.ends = set()
        self.listener = None
        self._listen()

    def _listen(self):
        family = socket.AF_UNIX if isinstance(self.here, str) else socket.AF_INET
        if family == socket.AF_UNIX and os.path.exists(self.here):
            os.unlink(self.here)
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(self.here)
        self.listener.listen(128)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near = listener.accept()[0]
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        family = socket.AF_UNIX if isinstance(self.there, str) else socket.AF_INET
        far = socket.socket(family)
        self.ends |= {near, far}
        with contextlib.suppress(OSError, ValueError):
            self._hang()
            if self.server:
                near = self._keep(near, self.server.wrap_socket(near, server_side=True))
            far.connect(self.there)
            if self.client:
                far = self._keep(far, self.client.wrap_socket(far, server_hostname=self.name))
            self._carry(near, far)
        self._end(near)
        self._end(far)

    def _carry(self, near, far):
        """One thread for both ways: TLS of Python is not for two."""
        asked = b""
        while True:
            waiting = [one for one in (near, far) if hasattr(one, "pending") and one.pending()]
            for one in waiting or select.select([near, far], [], [])[0]:
                one.settimeout(0)  # what has come may be TLS's own, with nothing behind it
                try:
                    data = one.recv(65536)
                except (ssl.SSLWantReadError, BlockingIOError):
                    continue
                finally:
                    one.settimeout(None)
                if not data:
                    return
                self._hang()
                if one is far and self.way in ("lost", "held") and asked.startswith(self.loses):
                    self.has_lost.set()
                    while self.way == "held":
                        time.sleep(0.02)
                    if self.way == "lost":
                        return
                if one is near:
                    asked = data
                if one is far:
                    time.sleep(SLOW_S if self.way == "slow" else 0)
                    near.sendall(data)
                elif self.way == "wrong":
                    near.sendall(self.wrong)
                elif self.way == "garbage":
                    near.sendall(self.dice.randbytes(200))
                else:
                    far.sendall(data)

    def _keep(self, plain, tls):
        self.ends.discard(plain)
        self.ends.add(tls)
        return tls

    def _hang(self):
        while self.way == "hung":
            time.sleep(0.02)

    def _end(self, one):
        self.ends.discard(one)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(one, socket.SHUT_RDWR)  # whoever reads there sees the end
        one.close()

    def set(self, way):
        """From now on, on standing connections too."""
        was, self.way = self.way, way
        self.has_lost.clear()
        if way == "gone":
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            for one in list(self.ends):
                self._end(one)
        elif was == "gone":
            self._listen()

    @contextlib.contextmanager
    def broken(self, way):
        self.set(way)
        try:
            yield
        finally:
            self.set("through")

    def close(self):
        self.set("gone")


def tls_between(world, host):
    """(server, client) contexts of a wire in front of that host."""
    home = world.pki / "certificates" / host
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(home / "fullchain.pem", home / "key.pem")
    server.set_alpn_protocols(["http/1.1"])
    return server, ssl.create_default_context(cafile=str(world.trust))
