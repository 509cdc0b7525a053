# SPDX-License-Identifier: EUPL-1.2
"""Active checks: over each scheme, verified as requests are; what is found down gets no requests until it is well."""

import re
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
            text = re.sub(rf"PORT{i}\b", str(upstream.port), text)
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

    def make(applications, *upstreams):
        world = Asking(tmp_path, applications, upstreams)
        made.append((world, upstreams))
        return world.__enter__().begin()

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


def server_context(world, alpn, demands):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    home = world.pki / "certificates" / NAME
    context.load_cert_chain(home / "fullchain.pem", home / "key.pem")
    context.set_alpn_protocols(alpn)
    if demands:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(world.pki / "ca/finance-devices.pem")
    return context


def tls(ca="server-ca.pem", name=NAME, more=""):
    return f"    upstream_tls: {{ ca_file: {ca}, name: {name}{more} }}\n"


SHOWS = tls(more=", client_certificate: true")
# id: (host, scheme, what the bundle says of TLS, what the upstream speaks, does it demand a certificate)
GOOD = {
    "https, HTTP/1.1": ("strict", "https", SHOWS, ["http/1.1"], True),
    "https, HTTP/2": ("maybe", "https", SHOWS, ["h2", "http/1.1"], True),
    "h2": ("open", "h2", SHOWS, ["h2"], True),
    "h2c": ("small", "h2c", "", None, False),
}
BAD = {
    "another name": ("token", "https", tls(name="pair.finance.localhost"), ["http/1.1"], False),
    "another authority": ("dead", "https", tls(ca="unknown.pem"), ["http/1.1"], False),
    "an address that is not in it": ("pair", "https", tls(name="127.0.0.1"), ["http/1.1"], False),
    "no HTTP/2": ("twin", "h2", tls(), ["http/1.1"], False),
    "no certificate of ours": ("tax", "https", tls(), ["http/1.1"], True),
}
ALL = {**GOOD, **BAD}


@pytest.fixture(scope="module")
def schemes(tmp_path_factory):
    """One world with an application for each; its `upstreams` by id."""
    upstreams = {name: Checked(is_h2=name in ("https, HTTP/2", "h2", "h2c")) for name in ALL}
    applications = "".join(application(f"['{scheme}://127.0.0.1:PORT{i}']", more, f"{host}.finance.localhost")
                           for i, (host, scheme, more, _, _) in enumerate(ALL.values()))
    with Asking(tmp_path_factory.mktemp("policy"), applications, list(upstreams.values())) as world:
        world.upstreams = upstreams
        make_pki = world.make_pki

        def with_contexts():
            make_pki()
            for name, (_, _, _, alpn, demands) in ALL.items():
                upstreams[name].context = server_context(world, alpn, demands) if alpn else None

        world.make_pki = with_contexts
        yield world.begin()
        assert world.stop("gateway", patience_s=20) == 0
        assert "Sanitizer" not in world.log_text() and "runtime error" not in world.log_text(), world.log_text()[-6000:]
        for upstream in upstreams.values():
            upstream.close()


def said_down(world, host):
    return f"fod-finance/{host}: " in "".join(line for line in world.log_text().splitlines() if " is down: " in line)


@pytest.mark.parametrize("name", BAD)
def test_who_can_not_be_verified_is_down(schemes, name):
    until(lambda: said_down(schemes, ALL[name][0]), "it is down", 15)
    assert name == "no HTTP/2" or not schemes.upstreams[name].requests


@pytest.mark.parametrize("name", GOOD)
def test_a_check_speaks_what_requests_speak(schemes, name):
    host, _, _, alpn, _ = ALL[name]
    upstream = schemes.upstreams[name]
    until(lambda: len(upstream.requests) >= 3, "it is asked")
    request = upstream.requests[0]
    assert request[":path"] == "/health"
    assert request.get(":authority", request.get("host")) == f"{host}.finance.localhost"
    if alpn:
        assert "laptop-0001" in str(upstream.shown[0]["subject"])
    assert not said_down(schemes, host)
    upstream.status = 500
    until(lambda: said_down(schemes, host), "it is down", 15)
