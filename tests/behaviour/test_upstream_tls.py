# SPDX-License-Identifier: EUPL-1.2
"""Applications over TLS, by HTTP/1.1 and HTTP/2: which certificates are theirs and which are not, what the gateway shows
of itself, and nghttpd as one that nobody here has written."""

import datetime
import ipaddress
import re
import socket
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from callers import H2
from h2_origin import H2Origin, server_context
from world import World, free_port, until

HOST = "tls.finance.localhost"
NAME = "tax.application.example"
APPLICATION = f"""
  - id: tls
    host: {HOST}
    device: none
    upstreams: [h2://127.0.0.1:1] # of the case
    upstream_tls: {{ ca_file: application-ca.pem, name: {NAME} }} # of the case
    rules:
      - id: everybody
        permit: {{}}
"""
PEM = serialization.Encoding.PEM


class Ca:
    def __init__(self, common):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        self.certificate = self._sign(self.name, self.key.public_key(), 3600, lambda b: b.add_extension(
            x509.BasicConstraints(True, None), True))

    def _sign(self, subject, public, valid_s, more):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=2))
                   .not_valid_after(now + datetime.timedelta(seconds=valid_s)))
        return more(builder).sign(self.key, hashes.SHA256())

    def issue(self, folder, file, names=(), common="application", valid_s=3600, usage=ExtendedKeyUsageOID.SERVER_AUTH,
              is_self_signed=False):
        """(chain, key) in files. `names`: DNS names, addresses or URIs."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

        def more(builder):
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
            return builder.add_extension(x509.SubjectAlternativeName(list(names)), False) if names else builder

        issuer = self
        if is_self_signed:
            issuer = Ca(common)
            issuer.key, issuer.name = key, subject
        chain = folder / f"{file}.pem"
        private = folder / f"{file}.key"
        chain.write_bytes(issuer._sign(subject, key.public_key(), valid_s, more).public_bytes(PEM))
        private.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        private.chmod(0o600)
        return chain, private


class TlsWorld(World):
    """Its application's upstream is what the test says with `lead`."""

    def __init__(self, **more):
        super().__init__(hosts=[HOST], workers=1, **more)
        self.ca, self.other_ca, self.client_ca = Ca("application CA"), Ca("another CA"), Ca("gateways CA")

    def write_policy(self):
        super().write_policy()
        (self.folder / "policy/application-ca.pem").write_bytes(self.ca.certificate.public_bytes(PEM))
        with open(self.folder / "policy/finance.yaml", "a") as file:
            file.write(APPLICATION)

    def begin(self, **more):
        home = self.folder / "keys/gateway/upstream/fod-finance"
        home.mkdir(parents=True, mode=0o700)
        chain, key = self.client_ca.issue(home, "cert", common="belfry", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
        key.rename(home / "key.pem")
        return super().begin(**more)

    def lead(self, scheme, port, name=NAME, shows=False):
        tls = f"{{ ca_file: application-ca.pem, name: {name}{', client_certificate: true' if shows else ''} }}"
        self.update("finance", lambda text: re.sub(
            r"upstream_tls: .* # of the case", f"upstream_tls: {tls} # of the case",
            re.sub(r"upstreams: .* # of the case", f"upstreams: [{scheme}://127.0.0.1:{port}] # of the case", text)))


@pytest.fixture(scope="module")
def world():
    with TlsWorld() as made:
        yield made.begin()
        assert made.stop("gateway", patience_s=20) == 0
        assert "Sanitizer" not in made.log_text() and "runtime error" not in made.log_text(), made.log_text()[-6000:]


@pytest.fixture
def origin(world):
    """`origin(**certificate)`: an application with it."""
    made = []

    def make(ca=None, clients=None, alpn=("h2", "http/1.1"), **certificate):
        chain, key = (ca or world.ca).issue(world.folder, f"origin-{len(made)}", **certificate)
        made.append(H2Origin(tls=server_context(chain, key, clients, alpn)))
        return made[-1]

    yield make
    for one in made:
        one.listener.close()
        one.end()


def dns(name):
    return [x509.DNSName(name)]


def ip(address):
    return [x509.IPAddress(ipaddress.ip_address(address))]


GOOD = {
    "its name": (dns(NAME), NAME),
    "one of several": (dns("other.example") + dns(NAME), NAME),
    "in capitals": (dns(NAME.upper()), NAME),
    "below a star": (dns("*.application.example"), NAME),
    "its address": (ip("127.0.0.1"), "127.0.0.1"),
}
BAD = {
    "another name": (dict(names=dns("other.example")), NAME, "its certificate does not name it"),
    "a name below it": (dict(names=dns(f"www.{NAME}")), NAME, "its certificate does not name it"),
    "a star too high": (dict(names=dns("*.example")), NAME, "its certificate does not name it"),
    "a star within a label": (dict(names=dns("t*.application.example")), NAME, "its certificate does not name it"),
    "a common name alone": (dict(common=NAME), NAME, "its certificate does not name it"),
    "another address": (dict(names=ip("127.0.0.2")), "127.0.0.1", "its certificate does not name it"),
    "an address as a DNS name": (dict(names=dns("127.0.0.1")), "127.0.0.1", "its certificate does not name it"),
    "expired": (dict(names=dns(NAME), valid_s=-60), NAME, "certificate has expired"),
    "a client's": (dict(names=dns(NAME), usage=ExtendedKeyUsageOID.CLIENT_AUTH), NAME, "unsuitable certificate purpose"),
    "signed by itself": (dict(names=dns(NAME), is_self_signed=True), NAME, "self-signed certificate"),
}


@pytest.mark.parametrize("scheme", ["https", "h2"])
@pytest.mark.parametrize("case", list(GOOD))
def test_its_own_certificate_is_taken(world, origin, case, scheme):
    names, name = GOOD[case]
    one = origin(names=names)
    world.lead(scheme, one.port, name)
    answer = world.ask(HOST, "/a")
    assert answer.status == 200 and answer.body == (b"h1" if scheme == "https" else b"GET /a 0")
    assert [protocol for _, protocol in one.handshakes] == ["http/1.1" if scheme == "https" else "h2"]
    if scheme == "h2":
        assert one.requests[0].fields[:4] == [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/a")]


def check_refused(world, detail):
    answer = world.ask(HOST, "/a")
    assert (answer.status, answer.problem) == (502, "upstream_tls")
    assert answer.get("proxy-status") == "belfry; error=tls_certificate_error"
    reference = answer.get("belfry-reference")
    (event,) = until(lambda: [e for e in world.events(reference) if e["event.action"] == "access-end"], "no end's event")
    assert event["belfry.reason_code"] == "upstream_tls" and event["belfry.detail"].startswith(detail), event


@pytest.mark.parametrize("scheme", ["https", "h2"])
@pytest.mark.parametrize("case", list(BAD))
def test_another_certificate_is_not(world, origin, case, scheme):
    certificate, name, detail = BAD[case]
    one = origin(**certificate)
    world.lead(scheme, one.port, name)
    check_refused(world, detail)
    assert not one.requests


@pytest.mark.parametrize("scheme", ["https", "h2"])
def test_the_right_name_from_another_authority_is_not(world, origin, scheme):
    world.lead(scheme, origin(ca=world.other_ca, names=dns(NAME)).port)
    check_refused(world, "unable to get local issuer certificate")


@pytest.mark.parametrize("scheme", ["https", "h2"])
def test_one_that_speaks_no_tls_is_not(world, scheme):
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def speak():
            for _ in range(2):  # it is tried once more
                peer, _ = plain.accept()
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                peer.recv(65536)
                peer.close()

        threading.Thread(target=speak, daemon=True).start()
        world.lead(scheme, plain.getsockname()[1])
        check_refused(world, "the TLS handshake failed")


def test_h2_without_alpn_is_refused(world, origin):
    one = origin(names=dns(NAME), alpn=("http/1.1",))
    world.lead("h2", one.port)
    answer = world.ask(HOST, "/a")
    assert (answer.status, answer.problem) == (502, "upstream_tls") and not one.requests


@pytest.mark.parametrize("scheme", ["https", "h2"])
def test_the_gateway_shows_its_certificate_where_the_bundle_says_so(world, origin, scheme):
    clients = world.folder / "clients-ca.pem"
    clients.write_bytes(world.client_ca.certificate.public_bytes(PEM))
    one = origin(names=dns(NAME), clients=clients)
    world.lead(scheme, one.port, shows=True)
    assert world.ask(HOST, "/a").status == 200
    assert one.handshakes[-1][0]["subject"] == ((("commonName", "belfry"),),)
    world.lead(scheme, one.port, shows=False)
    answer = world.ask(HOST, "/a")
    assert answer.status == 502 and answer.problem in ("upstream_tls", "upstream_broken")
    assert len(one.handshakes) == 1


def test_another_authority_in_the_bundle_ends_the_connections_of_the_old_one(world, origin):
    one = origin(names=dns(NAME))
    world.lead("h2", one.port)
    assert world.ask(HOST, "/a").status == 200
    right = world.ca.certificate.public_bytes(PEM)
    (world.folder / "policy/application-ca.pem").write_bytes(world.other_ca.certificate.public_bytes(PEM))
    world.update("finance", lambda text: text)
    check_refused(world, "unable to get local issuer certificate")
    (world.folder / "policy/application-ca.pem").write_bytes(right)
    world.update("finance", lambda text: text)
    assert world.ask(HOST, "/a").status == 200


# A server that nobody here has written


@pytest.fixture(scope="module")
def nghttpd(world):
    home = world.folder / "htdocs"
    home.mkdir()
    (home / "index.html").write_bytes(b"hello")
    with open(home / "large", "wb") as file:
        file.truncate(30_000_000)
    chain, key = world.ca.issue(world.folder, "nghttpd", names=dns(NAME))
    port = free_port()
    world.spawn("nghttpd", ["nghttpd", "--address=127.0.0.1", f"--htdocs={home}", "--echo-upload", "--trailer=x-sum: 42", port,
                            key, chain])

    def listens():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    world.until("nghttpd", listens, "it does not listen")
    yield port
    world.stop("nghttpd")


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_nghttpd_answers(world, nghttpd, http):
    world.lead("h2", nghttpd)
    answer = world.ask(HOST, "/index.html", http=http)
    assert answer.status == 200 and answer.body == b"hello" and answer.get("server").startswith("nghttpd")
    assert world.ask(HOST, "/nothing", http=http).status == 404
    assert len(world.ask(HOST, "/large", http=http).body) == 30_000_000
    assert len(world.ask(HOST, "/index.html", method="POST", body=b"e" * 3_000_000, http=http).body) == 3_000_000
    assert not world.ask(HOST, "/index.html", method="HEAD", http=http).body


def test_trailers_of_nghttpd_come_through(world, nghttpd):
    world.lead("h2", nghttpd)
    with H2(world.tls(HOST, alpn=("h2",))) as h2:
        stream = h2.begin(HOST, "/index.html", headers=[("te", "trailers")])
        assert h2.end(stream).body == b"hello"
        assert dict(h2.trailers[stream])["x-sum"] == "42"


def test_many_requests_at_once_to_nghttpd(world, nghttpd):
    world.lead("h2", nghttpd)
    done = subprocess.run(["h2load", "-n", "3000", "-c", "5", "-m", "40", f"--connect-to=127.0.0.1:{world.port}",
                           f"https://{HOST}:{world.port}/index.html"], capture_output=True, text=True, timeout=60)
    assert "3000 succeeded, 0 failed" in done.stdout, done.stdout + done.stderr
