# SPDX-License-Identifier: EUPL-1.2
"""Active checks: over each scheme, verified as requests are; what is found down gets no requests until it is well."""

import shutil
import socket
import ssl
import threading

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from origin import Origin
from world import World, until

HOST = "open.finance.localhost"
NAME = "twin.finance.localhost"  # what upstreams' certificates are for
CHECK = "{ path: /health, interval: 500ms, timeout: 400ms, fall: 2, rise: 2 }"
HEAD = """\
belfry: entity/v1
entity: fod-finance
serial: 1
not_after: 2030-01-01T00:00:00Z
applications:
"""


class Checked:
    """An upstream that answers checks over TLS or HTTP/2, and keeps what it saw; `status` is its answer."""

    def __init__(self, context=None, is_h2=False):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.context, self.is_h2 = context, is_h2
        self.status = 200
        self.requests = []  # {name: value}
        self.shown = []  # the certificates' subjects
        self.failures = 0  # of handshakes
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        try:
            peer.settimeout(5)
            if self.context:
                peer = self.context.wrap_socket(peer, server_side=True)
                self.shown.append(peer.getpeercert())
            (self._h2 if self.is_h2 else self._h1)(peer)
        except (OSError, ssl.SSLError):
            self.failures += 1
        finally:
            peer.close()

    def _h1(self, peer):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (more := peer.recv(4096)):
                return
            head += more
        line, *fields = head.decode().split("\r\n")[:-2]
        self.requests.append({":path": line.split()[1], **{n.lower(): v for n, v in (f.split(": ", 1) for f in fields)}})
        peer.sendall(b"HTTP/1.1 %d X\r\ncontent-length: 4\r\n\r\nwell" % self.status)

    def _h2(self, peer):
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        peer.sendall(connection.data_to_send())
        while data := peer.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    self.requests.append(dict(event.headers))
                    connection.send_headers(event.stream_id, [(":status", str(self.status))], end_stream=True)
            peer.sendall(connection.data_to_send())

    def close(self):
        self.listener.close()


class Asking(World):
    """`applications`: YAML of the bundle's list, with PORT0, PORT1, ... of `upstreams`."""

    def __init__(self, folder, applications, upstreams, **settings):
        text = HEAD + applications
        for i, upstream in enumerate(upstreams):
            text = text.replace(f"PORT{i}", str(upstream.port))
        (folder / "finance.yaml").write_text(text)
        super().__init__(policies=folder, **settings)

    def make_keys(self):
        super().make_keys()
        mine = self.folder / "keys/gateway/upstream/fod-finance"
        mine.mkdir(parents=True)
        certificate, key = self.client("laptop-0001")
        shutil.copy(certificate, mine / "cert.pem")
        shutil.copy(key, mine / "key.pem")


def application(upstreams, more="", host=HOST, health=CHECK):
    return f"""\
  - id: {host.split(".")[0]}
    host: {host}
    device: none
    upstreams: {upstreams}
    health: {health}
{more}    rules:
      - id: everybody
        permit: {{}}
"""


@pytest.fixture
def asking(tmp_path):
    """`asking(applications, *upstreams)` → a world that has begun."""
    made = []

    def make(applications, *upstreams, begin=True):
        world = Asking(tmp_path, applications, upstreams)
        made.append((world, upstreams))
        world.__enter__()
        return world.begin() if begin else world

    yield make
    for world, upstreams in made:
        try:
            assert world.stop("gateway", patience_s=20) == 0
            assert "Sanitizer" not in world.log_text() and "runtime error" not in world.log_text(), world.log_text()[-6000:]
        finally:
            world.__exit__()
        for upstream in upstreams:
            if isinstance(upstream, Checked):
                upstream.close()


def is_down(world, count):
    until(lambda: world.metric("belfry_upstreams_down") == count, f"{count} are down", 15)


def test_what_is_down_gets_no_requests_until_it_is_well(asking):
    first, second = Checked(), Origin()
    world = asking(application("[http://127.0.0.1:PORT0, http://127.0.0.1:PORT1]"), first, second)
    until(lambda: first.requests and second.seen("/health"), "both are asked")
    assert first.requests[0][":path"] == "/health" and first.requests[0]["host"] == HOST
    assert first.requests[0].keys().isdisjoint({"authorization", "cookie", "belfry-assertion"})
    first.status = 503
    is_down(world, 1)
    assert f"fod-finance/open: http://127.0.0.1:{first.port} at 127.0.0.1 is down: it answered 503" in world.log_text()
    until(lambda: all(world.ask(HOST, "/work").status == 200 for _ in range(10)), "only the other is asked")
    asked = [r for r in first.requests if r[":path"] == "/work"]
    for _ in range(10):
        assert world.ask(HOST, "/work").status == 200
    assert [r for r in first.requests if r[":path"] == "/work"] == asked
    first.status = 200
    is_down(world, 0)
    assert "is up again" in world.log_text()

    def has_work():
        seen = len(first.requests)
        world.ask(HOST, "/again")
        return "/again" in [r[":path"] for r in first.requests[seen:]]

    until(has_work, "it has requests again")


def test_where_all_are_down_the_answer_says_so_at_once(asking):
    only = Checked()
    only.status = 500
    world = asking(application("[http://127.0.0.1:PORT0]"), only)
    is_down(world, 1)
    answer = until(lambda: (a := world.ask(HOST)).problem == "upstream_down" and a, "the worker knows")
    assert answer.status == 503


def server_context(world, name=NAME, alpn=("http/1.1",), demands=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    home = world.pki / "certificates" / name
    context.load_cert_chain(home / "fullchain.pem", home / "key.pem")
    context.set_alpn_protocols(list(alpn))
    if demands:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(world.pki / "ca/finance-devices.pem")
    return context


TLS = "    upstream_tls: {{ ca_file: {ca}, name: {name}{more} }}\n"


def tls(ca="server-ca.pem", name=NAME, more=""):
    return TLS.format(ca=ca, name=name, more=more)


SCHEMES = {
    "https, HTTP/1.1": ("https", ["http/1.1"], False),
    "https, HTTP/2": ("https", ["h2", "http/1.1"], True),
    "h2": ("h2", ["h2"], True),
    "h2c": ("h2c", None, True),
}


@pytest.mark.parametrize("scheme, alpn, is_h2", SCHEMES.values(), ids=SCHEMES.keys())
def test_a_check_speaks_what_requests_speak(asking, scheme, alpn, is_h2):
    upstream = Checked(is_h2=is_h2)
    more = tls(more=", client_certificate: true") if alpn else ""
    world = asking(application(f"['{scheme}://127.0.0.1:PORT0']", more), upstream, begin=False)
    make_pki = world.make_pki

    def with_context():
        make_pki()
        if alpn:
            upstream.context = server_context(world, alpn=alpn, demands=True)

    world.make_pki = with_context
    world.begin()
    until(lambda: len(upstream.requests) >= 2, "it is asked")
    request = upstream.requests[0]
    assert request[":path"] == "/health" and request.get(":authority", request.get("host")) == HOST
    if alpn:
        assert "laptop-0001" in str(upstream.shown[0]["subject"])
    assert world.metric("belfry_upstreams_down") == 0 and world.metric("belfry_health_failures_total") == 0
    upstream.status = 500
    is_down(world, 1)


WRONG = {
    "another name": ("https", tls(name="pair.finance.localhost"), ["http/1.1"]),
    "another authority": ("https", tls(ca="unknown.pem"), ["http/1.1"]),
    "an address that is not in it": ("https", tls(name="127.0.0.1"), ["http/1.1"]),
    "no HTTP/2": ("h2", tls(), ["http/1.1"]),
}


@pytest.mark.parametrize("scheme, more, alpn", WRONG.values(), ids=WRONG.keys())
def test_who_can_not_be_verified_is_down(asking, scheme, more, alpn):
    upstream = Checked()
    world = asking(application(f"['{scheme}://127.0.0.1:PORT0']", more), upstream, begin=False)
    make_pki = world.make_pki

    def with_context():
        make_pki()
        upstream.context = server_context(world, alpn=alpn)

    world.make_pki = with_context
    world.begin()
    is_down(world, 1)
    if scheme == "https":
        assert not upstream.requests
