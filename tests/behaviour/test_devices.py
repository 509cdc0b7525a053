# SPDX-License-Identifier: EUPL-1.2
"""Who the device is, by a certificate of a real handshake: which are bad and how that is said, what one connection may
ask for, and what happens to open connections when the rules change."""

import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from callers import H2
from devices import Authority
from tls_client import Refused, Visit
from world import World, until

MAYBE, TWIN, WARD = "maybe.finance.localhost", "twin.finance.localhost", "ward.health.localhost"
STRICT, OPEN, TAX = "strict.finance.localhost", "open.finance.localhost", "tax.finance.localhost"
SMALL, CLAIMS = "small.finance.localhost", "claims.health.localhost"
LAPTOP, BRANCH = "finance-laptops:laptop-0001", "finance-branch:laptop-0002"
ELSEWHERE, INVALID, ABSENT = ("host_misdirected", None), ("device_invalid", None), ("device_required", None)
NO_CERTIFICATE = {"1.2": "handshake failure", "1.3": "certificate required"}
both_versions = pytest.mark.parametrize("version", ["1.2", "1.3"])
both_protocols = pytest.mark.parametrize("http", ["1.1", "2"])


@pytest.fixture(scope="module")
def gate():
    """A gateway whose policy these tests change; each puts it back."""
    from conftest import check_end

    with World(workers=1) as made:
        yield made.begin()
        check_end(made)


class Line:
    """One connection that is asked more than once, over HTTP/1.1 or HTTP/2."""

    def __init__(self, world, host, cert=None, http="1.1"):
        self.world, self.host = world, host
        if http == "2":
            self.visit = H2(world.tls(host, cert, alpn=("h2",)))
            self.ask = lambda host, path: self.visit.ask(host, path)
        else:
            self.visit = Visit(world, host, cert=cert)
            self.ask = lambda host, path: self.visit.ask(path, host=host)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.visit.__exit__(*what)

    def seen(self, host=None, path="/managed/x"):
        """(reason, device) as the audit has them."""
        answer = self.ask(host or self.host, path)
        event = self.world.decision(answer.get("belfry-reference"))
        assert answer.status == 200 or event["http.response.status_code"] == answer.status
        assert answer.problem == (None if answer.status == 200 else event["belfry.reason_code"])
        return event["belfry.reason_code"], event.get("device.id")


# Bad certificates

def self_signed(world):
    """By the name of an authority that is trusted, with a key of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = Authority(Authority.of(world, "finance-devices").certificate, key)
    return own.device(world, "stranger", "Finance device CA", key=key)


def without_its_issuer(world):
    pair = world.client("laptop-0002")
    alone = world.client("laptop-0002-alone")
    end = b"-----END CERTIFICATE-----\n"
    alone[0].write_bytes(pair[0].read_bytes().split(end)[0] + end)
    alone[1].write_bytes(pair[1].read_bytes())
    return alone


def authority_itself(world):
    home = world.pki / "ca"
    return home / "finance-devices.pem", home / "finance-devices.key"


def below_a_device(world):
    """A leaf that a device has signed as if it were an authority."""
    certificate, key = world.client("laptop-0001")
    laptop = Authority(x509.load_pem_x509_certificate(certificate.read_bytes()),
                       serialization.load_pem_private_key(key.read_bytes(), None))
    return laptop.device(world, "below-laptop", "laptop-0007", [laptop])


def for_tomorrow(world):
    return Authority.of(world, "finance-devices").device(world, "tomorrow", valid_s=90000, begins_s=86400)


def for_anything(world):
    return Authority.of(world, "finance-devices").device(world, "anything",
                                                         usage=ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)


def behind_a_heap(world, count=9):
    """The laptop's own good certificate, with certificates behind it that nobody needs."""
    certificate, key = world.client("laptop-0001")
    heap = world.client("heap")
    heap[0].write_bytes(certificate.read_bytes() + (world.pki / "ca/unknown.pem").read_bytes() * count)
    heap[1].write_bytes(key.read_bytes())
    return heap


BAD = [  # what, as the audit tells it, the alert of a host that demands one
    ("rogue", "unknown authority", "unknown ca"),
    ("expired", "expired", "certificate expired"),
    ("server-use", "not for client authentication", "unsupported certificate"),
    ("tablet-0001", "unknown authority", "unknown ca"),
    (self_signed, "unknown authority", "unknown ca"),
    (without_its_issuer, "unknown authority", "unknown ca"),
    (authority_itself, "not for client authentication", "unsupported certificate"),
    (below_a_device, "an issuer in the chain may not issue", "unknown ca"),
    (for_tomorrow, "not yet valid", "bad certificate"),
    (for_anything, "not for client authentication", "unsupported certificate"),
    (behind_a_heap, "the chain is too long", "unknown ca"),
]
bad_ones = pytest.mark.parametrize("bad,detail,alert", BAD, ids=[b[0] if isinstance(b[0], str) else b[0].__name__
                                                                for b in BAD])


@both_versions
@bad_ones
def test_a_bad_certificate_ends_the_handshake_where_one_is_demanded(gate, version, bad, detail, alert):
    before = len(gate.events())
    with pytest.raises(Refused, match=alert):
        Visit(gate, STRICT, cert=bad if isinstance(bad, str) else bad(gate), version=version).ask()

    def told():
        return [e for e in gate.events()[before:] if e.get("url.domain") == STRICT]

    (event,) = until(told, "the audit event of the handshake")
    assert (event["belfry.reason_code"], event["belfry.detail"]) == ("handshake_failed", detail)
    assert not gate.origin.requests


@both_versions
@bad_ones
def test_a_bad_certificate_is_never_no_certificate_where_one_is_asked_for(gate, version, bad, detail, alert):
    """Also where a caller without any would be let in, and for each request of the connection."""
    gate.origin.clear()
    for host in (MAYBE, TAX):
        with Visit(gate, host, cert=bad if isinstance(bad, str) else bad(gate), version=version) as visit:
            for path in ("/open/x", "/managed/x"):
                answer = visit.ask(path)
                assert (answer.status, answer.problem) == (403, "device_invalid")
                event = gate.decision(answer.get("belfry-reference"))
                assert (event["belfry.detail"], event.get("device.id")) == (detail, None)
    assert not gate.origin.requests


@both_versions
def test_without_a_certificate_each_host_does_as_it_says(gate, version):
    with pytest.raises(Refused, match=NO_CERTIFICATE[version]):
        Visit(gate, STRICT, version=version).ask()
    with Visit(gate, TAX, version=version) as visit:
        assert visit.seen() == ABSENT
    with Visit(gate, MAYBE, version=version) as visit:
        assert visit.seen("/open/x") == ("permitted", None) and visit.seen() == ABSENT


@both_versions
def test_a_mountain_of_certificates_is_not_even_read(gate, version):
    with pytest.raises(Refused, match="illegal parameter"):
        Visit(gate, MAYBE, cert=behind_a_heap(gate, 100), version=version).ask("/open/x")


def test_a_certificate_that_names_nobody_is_no_device(gate):
    """Good by its chain; but its authority names devices by the one CN, and here are two."""
    nameless = Authority.of(gate, "finance-devices").device(gate, "two-names", ["laptop-0001", "laptop-0002"])
    for host in (MAYBE, STRICT):
        with Visit(gate, host, cert=nameless) as visit:
            assert visit.seen("/open/x") == INVALID
            ticket = visit.ticket
        with Visit(gate, host, session=ticket) as visit:  # the chain holds: resumed, and no better for it
            assert visit.seen("/open/x") == INVALID


# One connection, many hosts (RFC 9113 §9.1.1, §9.1.2)

@both_protocols
def test_a_connection_serves_the_hosts_of_its_own_view_and_no_others(gate, http):
    with Line(gate, MAYBE, "laptop-0001", http) as line:
        assert line.seen() == ("permitted", LAPTOP)
        assert line.seen(TWIN) == ("permitted", LAPTOP)
        for other in (STRICT, TAX, OPEN, WARD, CLAIMS):
            assert line.seen(other) == ELSEWHERE, other
        assert line.seen("nobody.finance.localhost") == ("host_unknown", None)
        assert line.seen() == ("permitted", LAPTOP)


@both_protocols
def test_a_connection_without_a_device_brings_none_to_a_host_of_its_view(gate, http):
    with Line(gate, MAYBE, None, http) as line:
        assert line.seen(TWIN) == ABSENT
        assert line.seen(STRICT) == ELSEWHERE
    with Line(gate, OPEN, None, http) as line:
        assert line.seen(SMALL) == ("permitted", None)
        for other in (MAYBE, STRICT, WARD):
            assert line.seen(other) == ELSEWHERE, other


@both_protocols
def test_a_bad_device_stays_bad_at_the_other_hosts_of_its_view(gate, http):
    with Line(gate, MAYBE, "rogue", http) as line:
        assert line.seen(TWIN) == INVALID
        assert line.seen(STRICT) == ELSEWHERE


# Changes under open connections

def put_back(world, original):
    """The old text with the present serial, which edit() then raises."""
    now = re.search(r"(?m)^serial: \d+$", (world.folder / "policy/finance.yaml").read_text())[0]
    return re.sub(r"(?m)^serial: \d+$", now, original)


@pytest.fixture
def finance(gate):
    """Changes finance's bundle; it is put back afterwards."""
    original = (gate.folder / "policy/finance.yaml").read_text()
    changed = []

    def change(how):
        changed.append(how)
        gate.update("finance", how)

    change.back = lambda: gate.update("finance", lambda _: put_back(gate, original))
    yield change
    if changed:
        change.back()


def without_branch(text):
    text, count = re.subn(r"(?m)^  - id: finance-branch\n(?:    .*\n)+", "", text)
    assert count == 1
    return text


def mode(host, word):
    def change(text):
        text, count = re.subn(rf"(host: {re.escape(host)}\n    device: )\w+", rf"\g<1>{word}", text)
        assert count == 1
        return text

    return change


@both_protocols
def test_an_authority_that_is_removed_takes_its_devices_along(gate, finance, http):
    with (Line(gate, MAYBE, "laptop-0002", http) as theirs, Line(gate, STRICT, "laptop-0002", http) as strict,
          Line(gate, MAYBE, "laptop-0001", http) as other):
        assert theirs.seen() == strict.seen() == ("permitted", BRANCH) and other.seen() == ("permitted", LAPTOP)
        finance(without_branch)
        for line in (theirs, strict):
            assert line.seen(path="/open/x") == INVALID
        assert theirs.seen(TWIN) == INVALID
        assert other.seen() == ("permitted", LAPTOP)
        with Line(gate, MAYBE, "laptop-0002", http) as late:
            assert late.seen() == INVALID
            finance.back()
            for line in (theirs, strict, late):
                assert line.seen() == ("permitted", BRANCH)


def test_an_authority_with_other_words_of_trust_is_heard_on_open_connections(gate, finance):
    with Line(gate, MAYBE, "laptop-0002") as line:
        assert line.seen() == ("permitted", BRANCH)
        finance(lambda text: re.sub(r"(id: finance-branch\n    trust: )managed", r"\1guest", text))
        assert line.seen() == ("denied", BRANCH)


@both_protocols
def test_a_host_that_begins_to_ask_for_devices_asks_for_a_new_connection(gate, finance, http):
    with Line(gate, OPEN, None, http) as line, Line(gate, MAYBE, "laptop-0001", http) as asked:
        assert line.seen() == ("permitted", None)
        finance(mode(OPEN, "required"))
        assert line.seen() == ELSEWHERE
        assert line.seen(SMALL) == ("permitted", None)  # of the view that the connection was made under
        assert asked.seen(OPEN) == ELSEWHERE
        finance(mode(MAYBE, "none"))
        assert asked.seen() == ELSEWHERE


@both_protocols
def test_a_host_that_asks_more_strictly_judges_what_the_connection_has_shown(gate, finance, http):
    with Line(gate, MAYBE, "laptop-0001", http) as with_one, Line(gate, MAYBE, None, http) as without:
        assert without.seen(path="/open/x") == ("permitted", None)
        for word in ("required", "required_by_tls"):
            finance(mode(MAYBE, word))
            assert with_one.seen() == ("permitted", LAPTOP)
            assert without.seen(path="/open/x") == ABSENT
        assert with_one.seen(TWIN) == ELSEWHERE  # not of one view any more


@both_protocols
def test_what_does_not_touch_the_view_does_not_touch_the_connection(gate, finance, http):
    handshakes = gate.metric("belfry_tls_handshakes_total")
    with Line(gate, MAYBE, "laptop-0001", http) as line, Line(gate, OPEN, None, http) as plain:
        assert line.seen() == ("permitted", LAPTOP) and plain.seen() == ("permitted", None)
        finance(mode(TWIN, "none"))
        assert line.seen() == ("permitted", LAPTOP) and line.seen(TWIN) == ELSEWHERE
        assert plain.seen(TWIN, "/managed/x") != ELSEWHERE
    assert gate.metric("belfry_tls_handshakes_total") == handshakes + 2


def test_a_host_that_is_gone_is_gone_from_open_connections(gate, finance):
    with Line(gate, TWIN, "laptop-0001") as line:
        assert line.seen() == ("permitted", LAPTOP)
        finance(lambda text: re.sub(r"(?m)^  - id: twin.*\n(?:    .*\n)+", "", text))
        assert line.seen() == ("host_unknown", None)
        assert line.seen(MAYBE) == ("permitted", LAPTOP)
    with pytest.raises(Refused, match="unrecognized name"):
        Visit(gate, TWIN, cert="laptop-0001")
