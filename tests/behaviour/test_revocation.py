# SPDX-License-Identifier: EUPL-1.2
"""Certificates that were revoked: by CRL and by OCSP, with lists and answers that are good, old, forged, of a kind
that says too little, late or not there at all; and what that does to those who are inside already."""

import contextlib
import itertools
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from callers import H2
from conftest import check_end
from devices import Authority
from revocation import UNKNOWN_CRITICAL, StatusServer, make_answer, make_crl, make_responder, point, request_of
from test_live import Stream
from tls_client import Refused, Visit
from world import World, free_port, until

MAYBE, STRICT = "maybe.finance.localhost", "strict.finance.localhost"
LIVE = "revoked-live.finance.localhost"
NUMBERS = itertools.count(1)
GOOD, REVOKED, UNKNOWN = (200, None), (403, "device_revoked"), (503, "revocation_unknown")
NOT_KNOWN = (403, "device_invalid")


@pytest.fixture(scope="module")
def gate():
    with World(workers=2, hosts=[LIVE]) as made:
        made.begin()
        made.update("finance", lambda text: text + f"""
  - id: revoked-live
    host: {LIVE}
    device: required
    upstreams: [http://127.0.0.1:{made.origin.port}]
    rules:
      - id: revoked-managed
        permit: {{}}
        when: 'device.trust == "managed"'
""")
        yield made
        check_end(made)


@pytest.fixture(scope="module")
def server():
    made = StatusServer()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def at_once(server):
    yield
    server.delay_s = 0


class Watched:
    """An authority of its own in the bundle, with devices."""

    def __init__(self, gate, server):
        self.gate, self.server, self.number = gate, server, next(NUMBERS)
        self.id = f"watched-{self.number}"
        self.ca = Authority.root(f"Watched {self.number}")
        self.path = f"/{self.id}"

    def device(self, name="laptop", **more):
        file = f"{self.id}-{name}"
        self.ca.device(self.gate, file, file, **more)
        return file

    def leaf(self, file):
        return x509.load_pem_x509_certificate(self.gate.client(file)[0].read_bytes())

    def give_crl(self, *revoked, **more):
        serials = [self.leaf(file).serial_number for file in revoked]
        self.server.answers[f"{self.path}.crl"] = make_crl(self.ca, serials, **more)

    def ask(self, file, host=MAYBE):
        answer = self.gate.ask(host, "/managed/1", cert=file)
        return answer.status, answer.problem


@contextlib.contextmanager
def watched(gate, server, settings, prepare=None):
    """`settings`: the revocation of the authority; CRL and OCSP stand for their URLs."""
    made = Watched(gate, server)
    if prepare:
        prepare(made)
    pem = made.ca.certificate.public_bytes(serialization.Encoding.PEM)
    (gate.folder / "policy" / f"{made.id}.pem").write_bytes(pem)
    settings = settings.replace("CRL", server.url(f"{made.path}.crl")).replace("OCSP", server.url(made.path))
    block = (f"  - id: {made.id}\n    trust: managed\n    device_name: subject.CN\n    ca_file: {made.id}.pem\n"
             f"    revocation: {{ {settings} }}\n")
    gate.update("finance", lambda text: text.replace("device_authorities:\n", f"device_authorities:\n{block}", 1))
    try:
        yield made
    finally:
        gate.update("finance", lambda text: text.replace(block, ""))


def said(gate, words):
    until(lambda: words in gate.log_text(), f"the log does not say: {words}")


# CRLs

def test_a_crl_refuses_who_is_on_it_and_nobody_else(gate, server):
    with watched(gate, server, "crl: [CRL]", lambda w: w.give_crl(w.device("lost"))) as w:
        assert w.ask(w.device("kept")) == GOOD
        assert w.ask(f"{w.id}-lost") == REVOKED
        with pytest.raises(OSError, match="alert certificate revoked"):
            w.ask(f"{w.id}-lost", STRICT)
        assert w.ask(w.device("kept"), STRICT) == GOOD


BAD_LISTS = [  # what, how it is made of a Watched, what the log says
    ("of another key", lambda w: make_crl(w.ca, signer=Authority.root("Somebody")), "its signature does not hold"),
    ("of another authority", lambda w: make_crl(Authority.root("Somebody")), "signed by none of the authority's"),
    ("old", lambda w: make_crl(w.ca, begins_s=-600, life_s=-60), "its nextUpdate has passed"),
    ("of tomorrow", lambda w: make_crl(w.ca, begins_s=3600, life_s=7200), "its thisUpdate lies in the future"),
    ("a delta", lambda w: make_crl(w.ca, extensions=[(x509.DeltaCRLIndicator(1), True)]), "it is a delta CRL"),
    ("indirect", lambda w: make_crl(w.ca, extensions=[(point(indirect_crl=True), True)]), "an indirect CRL"),
    ("of users only", lambda w: make_crl(w.ca, extensions=[(point(only_contains_user_certs=True), True)]),
     "an issuing distribution point"),
    ("of some reasons",
     lambda w: make_crl(w.ca, extensions=[(point(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])), True)]),
     "an issuing distribution point"),
    ("with an unknown critical extension", lambda w: make_crl(w.ca, extensions=[UNKNOWN_CRITICAL]),
     "a critical extension that is not known"),
    ("that takes one back", lambda w: make_crl(w.ca, [4711], reason=x509.ReasonFlags.remove_from_crl),
     "the reason removeFromCRL"),
    ("over SHA-1", lambda w: make_crl(w.ca, digest=hashes.SHA1()), "too weak an algorithm"),
    ("garbage", lambda w: b"<html>maintenance</html>", "it does not parse"),
    ("cut off", lambda w: make_crl(w.ca)[:-7], "it does not parse"),
    ("with something behind it", lambda w: make_crl(w.ca) + b"\0", "it does not parse"),
    ("too large", lambda w: make_crl(w.ca, range(1000, 1100)), "passes 2048 bytes"),
    ("not there", lambda w: 404, "was answered with status 404"),
]


@pytest.mark.parametrize("what, make, words", BAD_LISTS, ids=[what for what, *_ in BAD_LISTS])
def test_a_list_that_says_too_little_lets_nobody_in(gate, server, what, make, words):
    def prepare(w):
        server.answers[f"{w.path}.crl"] = make(w)

    with watched(gate, server, "crl: [CRL], crl_max: 2KiB", prepare) as w:
        assert w.ask(w.device()) == UNKNOWN
        said(gate, words)
        assert "degraded revocation" in gate.admin("/readyz")[1]
        w.give_crl(number=9)  # it recovers by itself
        until(lambda: w.ask(w.device()) == GOOD, "a good list does not count")


def test_a_list_is_fetched_ahead_of_its_end(gate, server):
    began = time.monotonic()
    with watched(gate, server, "crl: [CRL]", lambda w: w.give_crl(life_s=14)) as w:
        assert w.ask(w.device()) == GOOD
        w.give_crl(life_s=3600, number=2)
        until(lambda: server.asked.count(f"{w.path}.crl") > 1, "it is not asked for again", 14)
        assert time.monotonic() - began < 14
        assert w.ask(w.device()) == GOOD


def test_an_earlier_list_does_not_take_the_place_of_a_later_one(gate, server):
    with watched(gate, server, "crl: [CRL], refresh: 5s",
                 lambda w: w.give_crl(w.device("lost"), number=5, begins_s=-60)) as w:
        assert w.ask(f"{w.id}-lost") == REVOKED
        w.give_crl(number=4, begins_s=-30)
        said(gate, "its number is lower")
        w.give_crl(number=None, begins_s=-90)
        said(gate, "its thisUpdate is earlier")
        assert w.ask(f"{w.id}-lost") == REVOKED


def test_a_stream_is_cut_and_a_ticket_refused_by_the_next_list(gate, server):
    with watched(gate, server, "crl: [CRL], refresh: 5s", lambda w: w.give_crl()) as w:
        lost, kept = w.device("lost"), w.device("kept")
        gate.origin.clear()
        with Visit(gate, LIVE, cert=lost) as visit:
            assert visit.seen()[0] == "permitted"
            ticket = visit.ticket
        with Stream(gate, LIVE, "2", cert=lost) as cut, Stream(gate, LIVE, "1.1", cert=kept) as stays:
            w.give_crl(lost, number=2)
            cut.is_cut("device_revoked")
            stays.goes_on()
        with Visit(gate, LIVE, cert=lost, session=ticket) as visit:
            assert not visit.is_resumed
            assert visit.seen()[0] == "device_revoked"


def test_a_revoked_intermediate_takes_its_devices_with_it(gate, server):
    root, below = Authority.root("Tree"), None

    def prepare(w):
        nonlocal below
        w.ca = root
        below = root.below(f"Branch {w.number}")
        pem = b"".join(one.certificate.public_bytes(serialization.Encoding.PEM) for one in (root, below))
        w.pem = pem
        server.answers[f"{w.path}.crl"] = make_crl(root)
        server.answers[f"{w.path}b.crl"] = make_crl(below)

    made = Watched(gate, server)
    prepare(made)
    (gate.folder / "policy" / f"{made.id}.pem").write_bytes(made.pem)
    urls = f"[{server.url(made.path + '.crl')}, {server.url(made.path + 'b.crl')}]"
    block = (f"  - id: {made.id}\n    trust: managed\n    device_name: subject.CN\n    ca_file: {made.id}.pem\n"
             f"    revocation: {{ crl: {urls}, refresh: 5s }}\n")
    gate.update("finance", lambda text: text.replace("device_authorities:\n", f"device_authorities:\n{block}", 1))
    below.device(gate, f"{made.id}-leaf", "leaf")
    assert made.ask(f"{made.id}-leaf") == GOOD
    server.answers[f"{made.path}.crl"] = make_crl(root, [below.certificate.serial_number], number=2)
    until(lambda: made.ask(f"{made.id}-leaf") == REVOKED, "the branch is not revoked")
    gate.update("finance", lambda text: text.replace(block, ""))


def test_a_list_can_stand_in_the_bundle(gate, server):
    def prepare(w):
        lost = w.leaf(w.device("lost")).serial_number
        pem = x509.load_der_x509_crl(make_crl(w.ca, [lost])).public_bytes(serialization.Encoding.PEM)
        (gate.folder / "policy/own.crl").write_bytes(pem)

    with watched(gate, server, "crl_file: own.crl", prepare) as w:
        assert (w.ask(f"{w.id}-lost"), w.ask(w.device("kept"))) == (REVOKED, GOOD)


def test_the_list_that_a_certificate_names_counts_where_the_authority_says_so(gate, server):
    def named(w, url):
        name = x509.UniformResourceIdentifier(url)
        return x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None)])

    with watched(gate, server, "from_certificate: true", lambda w: w.give_crl(w.device("lost"))) as w:
        url = server.url(f"{w.path}.crl")
        kept = w.device("kept", extensions=[named(w, url)])
        assert w.ask(kept) == GOOD
        assert w.ask(f"{w.id}-lost") == REVOKED
    with watched(gate, server, "from_certificate: true") as w:  # the charter does not let it go elsewhere
        outside = w.device("outside", extensions=[named(w, f"http://other.example:{server.port}/x.crl")])
        assert w.ask(outside) == UNKNOWN
        said(gate, "is not in the fetch_hosts of entity")


def test_what_is_unknown_is_allowed_for_as_long_as_the_authority_says(gate, server):
    with watched(gate, server, "crl: [CRL], when_unknown: { allow_for: 4h }") as w:
        device = w.device()
        assert w.ask(device) == GOOD  # 404: there is no list
        w.give_crl(device)
        until(lambda: w.ask(device) == REVOKED, "not fetched again")
    with watched(gate, server, "crl: [CRL], when_unknown: deny") as w:
        assert w.ask(w.device()) == UNKNOWN


# OCSP

def answer_by(w, make):
    """Every question is answered by `make(leaf)` of the certificate that it is about."""
    def answer(path):
        serial = request_of(path).serial_number
        for file in gate_files(w):
            if w.leaf(file).serial_number == serial:
                return make(w.leaf(file))
        return 500

    w.server.answers[w.path] = answer


def gate_files(w):
    return [path.stem for path in (w.gate.pki / "clients").glob(f"{w.id}-*.pem")]


def delegate(w, leaf, **more):
    responder = make_responder(w.ca, **more)
    return make_answer(w.ca, leaf, responder=responder, certificates=[responder.certificate])


def other_delegate(w, leaf):
    other = Authority.root("Other")
    responder = make_responder(other)
    return make_answer(w.ca, leaf, responder=responder, certificates=[responder.certificate, other.certificate])


ANSWERS = [  # what, how it is made, what comes of it, what the log says
    ("good", lambda w, leaf: make_answer(w.ca, leaf), GOOD, None),
    ("revoked", lambda w, leaf: make_answer(w.ca, leaf, "revoked"), REVOKED, None),
    ("unknown", lambda w, leaf: make_answer(w.ca, leaf, "unknown"), NOT_KNOWN, None),
    ("good without an end", lambda w, leaf: make_answer(w.ca, leaf, life_s=None), GOOD, None),
    ("of a delegate", delegate, GOOD, None),
    ("of a delegate that nobody checks", lambda w, leaf: delegate(w, leaf, nocheck=False), UNKNOWN,
     "says nothing of nocheck"),
    ("of a device", lambda w, leaf: delegate(w, leaf, usage=ExtendedKeyUsageOID.CLIENT_AUTH), UNKNOWN,
     "not signed by the certificate's issuer"),
    ("of another authority's delegate", other_delegate, UNKNOWN, "not signed by the certificate's issuer"),
    ("of another key", lambda w, leaf: make_answer(w.ca, leaf, responder=Authority(w.ca.certificate, Authority.root("x").key)),
     UNKNOWN, "not signed by the certificate's issuer"),
    ("about another certificate", lambda w, leaf: make_answer(w.ca, leaf, about=w.ca.issue("other")[0]), UNKNOWN,
     "about another certificate"),
    ("old", lambda w, leaf: make_answer(w.ca, leaf, begins_s=-7200, life_s=-3600), UNKNOWN, "its nextUpdate has passed"),
    ("of tomorrow", lambda w, leaf: make_answer(w.ca, leaf, begins_s=3600, life_s=7200), UNKNOWN, "lies in the future"),
    ("over SHA-1", lambda w, leaf: make_answer(w.ca, leaf, digest=hashes.SHA1()), UNKNOWN, "too weak an algorithm"),
    ("try later", lambda w, leaf: bytes([0x30, 3, 0x0A, 1, 3]), UNKNOWN, "the responder gives none: trylater"),
    ("garbage", lambda w, leaf: b"<html>", UNKNOWN, "it does not parse"),
    ("an error", lambda w, leaf: 500, UNKNOWN, "answered with status 500"),
]


@pytest.mark.parametrize("what, make, expected, words", ANSWERS, ids=[what for what, *_ in ANSWERS])
def test_ocsp(gate, server, what, make, expected, words):
    with watched(gate, server, "ocsp: OCSP") as w:
        answer_by(w, lambda leaf: make(w, leaf))
        device = w.device()
        assert w.ask(device) == expected
        if words:
            said(gate, words)
        asked = len(server.asked)
        assert w.ask(device) == expected
        if not words:
            assert len(server.asked) == asked  # what is known is not asked again


def test_a_delegate_without_nocheck_counts_where_a_list_has_it_not(gate, server):
    with watched(gate, server, "crl: [CRL], ocsp: OCSP", lambda w: w.give_crl()) as w:
        answer_by(w, lambda leaf: delegate(w, leaf, nocheck=False))
        assert w.ask(w.device()) == GOOD
        until(lambda: gate.metric("belfry_ocsp_age_seconds") > 0, "the answer was not taken")


@pytest.mark.parametrize("when, expected", [("deny", UNKNOWN), ("{ allow_for: 4h }", GOOD)])
def test_a_responder_that_is_slow_keeps_nobody_for_a_second(gate, server, when, expected):
    with watched(gate, server, f"ocsp: OCSP, when_unknown: {when}") as w:
        server.delay_s = 4
        answer_by(w, lambda leaf: make_answer(w.ca, leaf))
        device = w.device()
        begun = time.monotonic()
        assert w.ask(device) == expected
        assert time.monotonic() - begun < 1.5
        until(lambda: w.ask(device) == GOOD, "the answer that came late is not used", 6)


@pytest.mark.parametrize("when, expected", [("deny", UNKNOWN), ("{ allow_for: 4h }", GOOD)])
def test_a_responder_that_is_away(gate, server, when, expected):
    port = free_port()
    with watched(gate, server, f"ocsp: 'http://idp.localhost:{port}/', when_unknown: {when}") as w:
        assert w.ask(w.device()) == expected
        said(gate, "an OCSP answer of device authority")


def test_at_a_host_that_demands_a_device_a_negative_ends_the_connection(gate, server):
    with watched(gate, server, "ocsp: OCSP") as w:
        answer_by(w, lambda leaf: make_answer(w.ca, leaf, "revoked"))
        with H2(gate.tls(STRICT, w.device("h2"), alpn=("h2",))) as h2:
            assert h2.ask(STRICT, "/x").problem == "device_revoked"
            h2.tls.settimeout(5)
            while h2.tls.recv(65536):
                pass
        with Visit(gate, STRICT, cert=w.device("h1")) as visit:
            answer = visit.ask("/x")
            assert (answer.problem, answer.get("connection")) == ("device_revoked", "close")
        with pytest.raises(Refused, match="certificate revoked"):  # now it is known in the handshake
            Visit(gate, STRICT, cert=f"{w.id}-h1", version="1.2")


def test_a_stream_is_cut_when_its_answer_turns(gate, server):
    with watched(gate, server, "ocsp: OCSP") as w:
        answer_by(w, lambda leaf: make_answer(w.ca, leaf, life_s=10))
        gate.origin.clear()
        with Stream(gate, LIVE, "2", cert=w.device()) as stream:
            answer_by(w, lambda leaf: make_answer(w.ca, leaf, "revoked", begins_s=-1))
            stream.is_cut("device_revoked", 12)


def test_the_responder_that_a_certificate_names(gate, server):
    with watched(gate, server, "ocsp: online, from_certificate: true") as w:
        answer_by(w, lambda leaf: make_answer(w.ca, leaf))
        access = x509.AuthorityInformationAccess([x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(server.url(w.path)))])
        assert w.ask(w.device("named", extensions=[access])) == GOOD
        assert w.ask(w.device("nameless")) == UNKNOWN


# The tools that authorities have

def test_lists_and_answers_of_openssl_itself(gate, server):
    with watched(gate, server, "crl: [CRL], refresh: 5s, ocsp: OCSP") as w:
        home = gate.folder / w.id
        home.mkdir()
        (home / "index").write_text("")
        (home / "number").write_text("01\n")
        pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
        (home / "ca.pem").write_bytes(w.ca.certificate.public_bytes(pem))
        (home / "ca.key").write_bytes(w.ca.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
        (home / "ca.cnf").write_text(f"[ca]\ndefault_ca = one\n[one]\ndatabase = {home}/index\n"
                                     f"crlnumber = {home}/number\ndefault_md = sha256\ndefault_crl_days = 1\n")
        lost, kept = w.device("lost"), w.device("kept")

        def openssl(*words, **more):
            return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, cwd=home, **more)

        def ca(*words):
            openssl("ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", *words)

        def answer(path):
            (home / "question").write_bytes(request_of(path).public_bytes(serialization.Encoding.DER))
            openssl("ocsp", "-index", "index", "-rsigner", "ca.pem", "-rkey", "ca.key", "-CA", "ca.pem", "-ndays", "1",
                    "-reqin", "question", "-respout", "answer")
            return (home / "answer").read_bytes()

        for file in (lost, kept):
            ca("-valid", gate.client(file)[0])
        server.answers[w.path] = answer
        assert (w.ask(lost), w.ask(kept)) == (GOOD, GOOD)
        ca("-revoke", gate.client(lost)[0])
        ca("-gencrl", "-out", "list.pem")
        server.answers[f"{w.path}.crl"] = (home / "list.pem").read_bytes()
        until(lambda: w.ask(lost) == REVOKED, "openssl's list does not count")
        assert w.ask(kept) == GOOD


# What is kept over a restart

def restart(gate, meanwhile=lambda: None):
    gate.log_from = len(gate.log_text())
    assert gate.stop("gateway", patience_s=20) == 0
    meanwhile()
    gate.start_gateway()
    gate.wait_gateway()


def kept_file(gate, w):
    (path,) = (gate.folder / "state/crl").glob(f"fod-finance.{w.id}.*")
    return path


def kept_answers(gate, w):
    return list((gate.folder / "state/ocsp").glob(f"fod-finance.{w.id}.*"))


def kept_answer(gate, w):
    """The file of the one device that there is."""
    (path,) = until(lambda: kept_answers(gate, w), "no answer is kept")
    return path


@pytest.mark.parametrize("when", ["deny", "{ allow_for: 4h }"])
def test_a_list_counts_after_a_restart_while_its_server_is_away(gate, server, when):
    with watched(gate, server, f"crl: [CRL], when_unknown: {when}", lambda w: w.give_crl(w.device("lost"))) as w:
        kept = w.device("kept")
        assert (w.ask(kept), w.ask(f"{w.id}-lost")) == (GOOD, REVOKED)
        del server.answers[f"{w.path}.crl"]
        restart(gate)
        assert (w.ask(f"{w.id}-lost"), w.ask(kept)) == (REVOKED, GOOD)
        w.give_crl(number=2)
        until(lambda: w.ask(f"{w.id}-lost") == GOOD, "the next list is not fetched")


def test_a_list_that_is_over_keeps_its_devices_out_after_a_restart(gate, server):
    with watched(gate, server, "crl: [CRL], when_unknown: { allow_for: 4h }",
                 lambda w: w.give_crl(w.device("lost"), life_s=3)) as w:
        kept = w.device("kept")
        assert (w.ask(kept), w.ask(f"{w.id}-lost")) == (GOOD, REVOKED)
        del server.answers[f"{w.path}.crl"]
        until(lambda: gate.metric("belfry_crl_missing") == 1, "the list has no end")
        restart(gate)
        assert (w.ask(f"{w.id}-lost"), w.ask(kept)) == (REVOKED, GOOD)
        w.give_crl(number=2)
        until(lambda: w.ask(f"{w.id}-lost") == GOOD, "the next list is not fetched")


def test_the_list_that_a_certificate_names_is_kept_too(gate, server):
    def named(w):
        name = x509.UniformResourceIdentifier(server.url(f"{w.path}.crl"))
        return x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None)])

    with watched(gate, server, "from_certificate: true, when_unknown: { allow_for: 4h }") as w:
        lost, kept = (w.device(name, extensions=[named(w)]) for name in ("lost", "kept"))
        w.give_crl(lost)
        assert (w.ask(lost), w.ask(kept)) == (REVOKED, GOOD)
        del server.answers[f"{w.path}.crl"]
        restart(gate)
        assert (w.ask(lost), w.ask(kept)) == (REVOKED, GOOD)


def changed(at):
    def change(w, held):
        held = bytearray(held)
        held[at] ^= 1
        return held
    return change


def replaced(make):
    """The list behind the four lines of the file's head by another one."""
    return lambda w, held: b"\n".join([*held.split(b"\n", 4)[:4], make(w)])


KEPT_WRONG = [  # what, how it is made of a Watched and what lies there, what the log says
    ("nothing", lambda w, held: b"", "is not what was written there"),
    ("cut off", lambda w, held: held[:-7], "it does not parse"),
    ("changed in its list", changed(-1), "its signature does not hold"),
    ("changed in its head", changed(3), "is not what was written there"),
    ("of another URL", lambda w, held: held.replace(b".crl\n", b".crx\n"), "is not what was written there"),
    ("of another key", replaced(lambda w: make_crl(w.ca, number=5, signer=Authority.root("Somebody"))),
     "its signature does not hold"),
    ("of another authority", replaced(lambda w: make_crl(Authority.root("Somebody"), number=5)),
     "signed by none of the authority's"),
    ("earlier by its number", replaced(lambda w: make_crl(w.ca, number=4, begins_s=-1)), "its number is lower"),
    ("earlier by its date", replaced(lambda w: make_crl(w.ca, number=None, begins_s=-900)), "its thisUpdate is earlier"),
    ("of tomorrow", replaced(lambda w: make_crl(w.ca, number=6, begins_s=3600, life_s=7200)),
     "its thisUpdate lies in the future"),
]


def restart_spoilt(gate, cases, kept):
    """With each case's file changed as it says."""
    def spoil():
        for _, change, _, w in cases:
            path = kept(gate, w)
            path.write_bytes(change(w, path.read_bytes()))

    restart(gate, spoil)


def is_told_of(gate, w, which, words, what):
    log = gate.log_text()[gate.log_from:]
    assert any(words in line and which in line and f"'{w.id}'" in line for line in log.splitlines()), (what, log)


def test_a_kept_list_that_is_damaged_or_foreign_is_not_believed(gate, server):
    """All of them at one restart, which takes longer than they do."""
    with contextlib.ExitStack() as all_of_them:
        cases = []
        for what, change, words in KEPT_WRONG:
            w = all_of_them.enter_context(watched(gate, server, "crl: [CRL]", lambda w: w.give_crl(w.device("lost"), number=5)))
            w.device("kept")
            assert w.ask(f"{w.id}-lost") == REVOKED
            del server.answers[f"{w.path}.crl"]
            cases.append((what, change, words, w))

        restart_spoilt(gate, cases, kept_file)
        for what, _, words, w in cases:
            assert (w.ask(f"{w.id}-kept"), w.ask(f"{w.id}-lost")) == (UNKNOWN, UNKNOWN), what
            is_told_of(gate, w, "a kept CRL", words, what)
        for _, _, _, w in cases:
            w.give_crl(f"{w.id}-lost", number=9)
        for what, _, _, w in cases:
            until(lambda: w.ask(f"{w.id}-kept") == GOOD, f"it does not recover: {what}", 20)
            assert w.ask(f"{w.id}-lost") == REVOKED


def test_a_list_that_is_listed_no_longer_is_not_kept(gate, server):
    with watched(gate, server, "crl: [CRL]", lambda w: w.give_crl()) as w:
        assert w.ask(w.device()) == GOOD
        path = kept_file(gate, w)
        gate.update("finance", lambda text: text.replace(f"{w.path}.crl", f"{w.path}.other"))
        until(lambda: not path.exists(), "it is still there")
        gate.update("finance", lambda text: text.replace(f"{w.path}.other", f"{w.path}.crl"))


@pytest.mark.parametrize("when", ["deny", "{ allow_for: 4h }"])
def test_an_answer_counts_after_a_restart_while_its_responder_is_away(gate, server, when):
    with watched(gate, server, f"ocsp: OCSP, when_unknown: {when}") as w:
        answer_by(w, lambda leaf: make_answer(w.ca, leaf, "revoked" if leaf == w.leaf(f"{w.id}-lost") else "good"))
        lost, kept, new = (w.device(name) for name in ("lost", "kept", "new"))
        assert (w.ask(kept), w.ask(lost)) == (GOOD, REVOKED)
        until(lambda: len(kept_answers(gate, w)) == 2, "they are not kept")
        server.answers[w.path] = 500
        restart(gate)
        assert (w.ask(lost), w.ask(kept)) == (REVOKED, GOOD)
        assert w.ask(new) == (UNKNOWN if when == "deny" else GOOD)
        answer_by(w, lambda leaf: make_answer(w.ca, leaf, "revoked", begins_s=-5))  # it is asked all the same
        until(lambda: w.ask(kept) == REVOKED, "the next answer is not fetched", 15)


def test_an_answer_that_is_over_lets_nobody_in_after_a_restart_and_keeps_out_who_is_revoked(gate, server):
    """`allow_for` counts from the end of the answer: no restart begins it anew."""
    with contextlib.ExitStack() as both:
        over = both.enter_context(watched(gate, server, "ocsp: OCSP, when_unknown: deny"))
        long_over = both.enter_context(watched(gate, server, "ocsp: OCSP, when_unknown: { allow_for: 60s }"))
        for w in (over, long_over):
            answer_by(w, lambda leaf, w=w: make_answer(w.ca, leaf, "revoked" if leaf == w.leaf(f"{w.id}-lost") else "good"))
            assert (w.ask(w.device("lost")), w.ask(w.device("kept"))) == (REVOKED, GOOD)
            until(lambda: len(kept_answers(gate, w)) == 2, "they are not kept")
            server.answers[w.path] = 500

        def end():
            for w in (over, long_over):
                ends = [make_answer(w.ca, w.leaf(f"{w.id}-{name}"), status, begins_s=-900, life_s=-120)
                        for name, status in (("lost", "revoked"), ("kept", "good"))]
                for path in kept_answers(gate, w):  # which is whose, their numbers say
                    number = ocsp.load_der_ocsp_response(path.read_bytes()).serial_number
                    path.write_bytes(next(e for e in ends if ocsp.load_der_ocsp_response(e).serial_number == number))

        restart(gate, end)
        for w in (over, long_over):
            assert (w.ask(f"{w.id}-lost"), w.ask(f"{w.id}-kept")) == (REVOKED, UNKNOWN)
        answer_by(over, lambda leaf: make_answer(over.ca, leaf))
        until(lambda: over.ask(f"{over.id}-kept") == GOOD, "it does not recover", 15)


def forged_by(make):
    return lambda w, held: make(w, w.leaf(f"{w.id}-kept"))


ANSWERS_WRONG = [  # what, how it is made of a Watched and what lies there, what the log says
    ("nothing that could be read", lambda w, held: b"\0", "it does not parse"),
    ("cut off", lambda w, held: held[:-7], "it does not parse"),
    ("changed", lambda w, held: held[:-9] + bytes([held[-9] ^ 1]) + held[-8:], "it is not signed by"),
    ("of another certificate", forged_by(lambda w, leaf: make_answer(w.ca, leaf, about=w.ca.issue("other")[0])),
     "about another certificate"),
    ("of another key", forged_by(lambda w, leaf: make_answer(w.ca, leaf, responder=Authority.root("Somebody"))),
     "it is not signed by"),
    ("of a device", forged_by(lambda w, leaf: delegate(w, leaf, usage=ExtendedKeyUsageOID.CLIENT_AUTH)), "it is not signed by"),
    ("of tomorrow", forged_by(lambda w, leaf: make_answer(w.ca, leaf, begins_s=3600, life_s=7200)), "lies in the future"),
    ("much too large", lambda w, held: bytes(1 << 20), "is larger than 65536 bytes"),
]


def test_a_kept_answer_that_is_damaged_or_foreign_is_not_believed(gate, server):
    """All of them at one restart, which takes longer than they do."""
    with contextlib.ExitStack() as all_of_them:
        cases = []
        for what, change, words in ANSWERS_WRONG:
            w = all_of_them.enter_context(watched(gate, server, "ocsp: OCSP"))
            answer_by(w, lambda leaf, w=w: make_answer(w.ca, leaf))
            assert w.ask(w.device("kept")) == GOOD
            kept_answer(gate, w)
            server.answers[w.path] = 500
            cases.append((what, change, words, w))

        restart_spoilt(gate, cases, kept_answer)
        for what, _, words, w in cases:
            assert w.ask(f"{w.id}-kept") == UNKNOWN, what
            is_told_of(gate, w, "a kept OCSP answer", words, what)
            answer_by(w, lambda leaf, w=w: make_answer(w.ca, leaf))
        for what, _, _, w in cases:
            until(lambda: w.ask(f"{w.id}-kept") == GOOD, f"it does not recover: {what}", 20)


def test_an_answer_that_is_earlier_than_the_kept_one_does_not_take_its_place(gate, server):
    with watched(gate, server, "ocsp: OCSP") as w:
        answer_by(w, lambda leaf: make_answer(w.ca, leaf, "revoked", begins_s=-30))
        device = w.device("kept")
        assert w.ask(device) == REVOKED
        kept_answer(gate, w)
        answer_by(w, lambda leaf: make_answer(w.ca, leaf, begins_s=-90))  # somebody on the way plays it again
        restart(gate)
        assert w.ask(device) == REVOKED
        said(gate, "it is older than the one before")
        assert w.ask(device) == REVOKED


def is_good(w):
    try:
        return w.ask(f"{w.id}-kept") == GOOD
    except OSError:  # no such host yet
        return False


def test_what_is_kept_of_an_authority_goes_with_it_and_stays_while_its_bundle_is_only_not_at_hand(gate, server):
    def files(*ids):
        names = [path.name for kind in ("crl", "ocsp") for path in (gate.folder / "state" / kind).iterdir()]
        return [[name for name in names if name.split(".")[1] == id] for id in ids]

    with watched(gate, server, "crl: [CRL], ocsp: OCSP", lambda w: w.give_crl()) as stays:
        with watched(gate, server, "crl: [CRL], ocsp: OCSP", lambda w: w.give_crl()) as goes:
            for w in (stays, goes):
                answer_by(w, lambda leaf, w=w: make_answer(w.ca, leaf))
                assert w.ask(w.device("kept")) == GOOD
            until(lambda: [len(one) for one in files(stays.id, goes.id)] == [2, 2], "not all is kept")
        until(lambda: [len(one) for one in files(stays.id, goes.id)] == [2, 0], "what is gone is still kept", 20)
        # At a start with a bundle that can't be read and a store that is away, nothing is known of its authorities. Of
        # those of another entity it is: what is gone there shows that it was looked through.
        bundle, decoy = gate.folder / "state/bundle-fod-finance.signed", gate.folder / f"state/ocsp/health-agency.gone.{'0' * 32}"

        def hide():
            bundle.write_bytes(b"damaged")
            decoy.write_bytes(b"")

        gate.stop("redis")
        restart(gate, hide)
        until(lambda: not decoy.exists(), "nothing is looked through", 20)
        assert [len(one) for one in files(stays.id)] == [2]
        gate.start_redis()
        gate.wait_redis()
        until(lambda: is_good(stays), "the bundle does not come back", 20)
