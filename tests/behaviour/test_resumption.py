# SPDX-License-Identifier: EUPL-1.2
"""A ticket is worth what its certificate is worth now, at the host where it was made, and nothing anywhere else. Each
test looks at both sides: whether the client resumed, and whom the gateway's audit saw."""

import ctypes
import re
import time

import pytest
from OpenSSL import SSL

from devices import Authority, ends_at
from tls_client import Refused, Visit, connected, first_record, greet, hello, server_names, ticket_bytes
from world import World, until

MAYBE, TWIN, WARD = "maybe.finance.localhost", "twin.finance.localhost", "ward.health.localhost"
STRICT, OPEN, TAX = "strict.finance.localhost", "open.finance.localhost", "tax.finance.localhost"
LAPTOP = "finance-laptops:laptop-0001"
BRANCH = "finance-branch:laptop-0002"
SERVED, NOBODY = ("permitted", LAPTOP), ("device_required", None)
NO_CERTIFICATE = {"1.2": "handshake failure", "1.3": "certificate required"}
both_versions = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(scope="module")
def gate():
    """A gateway whose policy these tests change; each puts it back."""
    from conftest import check_end

    with World(workers=2) as made:
        yield made.begin()
        check_end(made)


def ticket_of(world, host, cert=None, version="1.3", path="/managed/x", **more):
    with Visit(world, host, cert=cert, version=version, **more) as visit:
        assert not visit.is_resumed
        visit.ask(path)
        return visit.ticket


def resumes(world, host, session, version, **more):
    """(resumed, reason, device) of one visit with that ticket."""
    with Visit(world, host, session=session, version=version, **more) as visit:
        return visit.is_resumed, *visit.seen()


@both_versions
def test_a_ticket_brings_the_device_back_to_its_own_host(gate, version):
    ticket = ticket_of(gate, MAYBE, "laptop-0001", version)
    before = gate.metric("belfry_tls_handshakes_resumed_total")
    assert resumes(gate, MAYBE, ticket, version) == (True, *SERVED)
    assert gate.metric("belfry_tls_handshakes_resumed_total") == before + 1


@both_versions
def test_a_ticket_for_the_host_that_demands_a_certificate_holds_one(gate, version):
    ticket = ticket_of(gate, STRICT, "laptop-0001", version)
    assert resumes(gate, STRICT, ticket, version) == (True, *SERVED)


@both_versions
@pytest.mark.parametrize("source,cert", [(MAYBE, "laptop-0001"), (MAYBE, None), (STRICT, "laptop-0001"),
                                         (WARD, "tablet-0001"), (OPEN, None), (TAX, "laptop-0001")])
def test_a_ticket_is_worth_nothing_at_any_other_host(gate, version, source, cert):
    for target in {MAYBE, TWIN, WARD, STRICT, OPEN, TAX} - {source}:
        ticket = ticket_of(gate, source, cert, version)
        if target == STRICT:  # the certificate that the ticket holds is not shown: so there is none
            with pytest.raises(Refused, match=NO_CERTIFICATE[version]):
                resumes(gate, target, ticket, version)
            continue
        expected = ("permitted", None) if target == OPEN else NOBODY
        assert resumes(gate, target, ticket, version) == (False, *expected), target


@both_versions
def test_a_ticket_of_nobody_stays_one_of_nobody(gate, version):
    ticket = ticket_of(gate, MAYBE, None, version)
    assert resumes(gate, MAYBE, ticket, version, cert="laptop-0001") == (True, *NOBODY)


@both_versions
@pytest.mark.parametrize("cert", ["rogue", "expired", "server-use", "tablet-0001"])
def test_a_bad_device_gets_no_ticket_that_is_worth_anything(gate, version, cert):
    ticket = ticket_of(gate, MAYBE, cert, version)
    assert resumes(gate, MAYBE, ticket, version) == (False, *NOBODY)
    again = ticket_of(gate, MAYBE, cert, version)
    assert resumes(gate, MAYBE, again, version, cert="laptop-0001") == (False, *SERVED)


@both_versions
def test_a_ticket_brings_back_what_the_client_sent_between_leaf_and_root(gate, version):
    ticket = ticket_of(gate, MAYBE, "laptop-0002", version)
    assert resumes(gate, MAYBE, ticket, version) == (True, "permitted", BRANCH)


@both_versions
def test_a_chain_too_large_for_a_ticket_is_served_and_not_resumed(gate, version):
    bulky = Authority.of(gate, "finance-root").below("Bulky branch", padding=7000)
    pair = bulky.device(gate, "bulky", "laptop-0003", [bulky])
    with Visit(gate, MAYBE, cert=pair, version=version) as visit:
        assert visit.seen() == ("permitted", "finance-branch:laptop-0003")
        ticket = visit.ticket
    assert resumes(gate, MAYBE, ticket, version) == (False, *NOBODY)


@both_versions
def test_a_ticket_can_be_renewed_from_ticket_to_ticket(gate, version):
    ticket = ticket_of(gate, MAYBE, "laptop-0002", version)
    for _ in range(3):
        with Visit(gate, MAYBE, session=ticket, version=version) as visit:
            assert visit.is_resumed and visit.seen() == ("permitted", BRANCH)
            ticket = visit.ticket


def test_each_visit_of_tls_1_3_brings_a_new_ticket(gate):
    """Browsers use a ticket once: without a new one every second handshake would be a full one."""
    ticket = ticket_of(gate, MAYBE, "laptop-0001")
    for _ in range(3):
        with Visit(gate, MAYBE, session=ticket) as visit:
            assert visit.is_resumed and visit.seen() == SERVED
            assert visit.ticket_bytes and visit.ticket_bytes != ticket_bytes(ticket)
            ticket = visit.ticket


@both_versions
def test_a_ticket_of_one_worker_is_good_at_the_other(gate, version):
    for _ in range(12):  # the kernel chooses the worker by the client's port: both get some
        ticket = ticket_of(gate, MAYBE, "laptop-0001", version)
        assert resumes(gate, MAYBE, ticket, version) == (True, *SERVED)


def test_session_ids_resume_nothing(gate):
    for _ in range(8):  # the kernel chooses the worker, and a cache would be one of a worker's
        with Visit(gate, MAYBE, cert="laptop-0001", version="1.2", tickets=False) as visit:
            assert visit.seen(fields=["connection: close"]) == SERVED  # an end that OpenSSL finds worth keeping
            without = visit.ticket
        assert resumes(gate, MAYBE, without, "1.2", tickets=False) == (False, *NOBODY)
    # A session made with a ticket has an id of the client's own making: shown alone, it is nothing.
    ticket = ticket_of(gate, MAYBE, "laptop-0001", "1.2")
    assert resumes(gate, MAYBE, ticket, "1.2", tickets=False) == (False, *NOBODY)


def without_authority(text, name):
    assert f"  - id: {name}\n" in text
    return re.sub(rf"(?ms)^  - id: {name}\n.*?(?=^  - id: |^\w|\n\n)", "", text)


def test_a_ticket_ends_with_the_authority_that_vouched_for_it(gate):
    original = (gate.folder / "policy/finance.yaml").read_text()
    tickets = {v: [ticket_of(gate, MAYBE, c, v) for c in ("laptop-0002", "laptop-0001")] for v in ("1.2", "1.3")}
    gate.update("finance", lambda text: without_authority(text, "finance-branch"))
    try:
        for version, (of_branch, of_other) in tickets.items():
            assert resumes(gate, MAYBE, of_branch, version) == (False, *NOBODY)
            assert resumes(gate, MAYBE, of_other, version, cert="laptop-0001") == (False, *SERVED)
            with Visit(gate, MAYBE, cert="laptop-0002", version=version) as visit:
                assert visit.seen() == ("device_invalid", None)
            with pytest.raises(Refused, match="unknown ca"):
                Visit(gate, STRICT, cert="laptop-0002", version=version).ask()
    finally:
        gate.update("finance", lambda _: put_back(gate, original))


def put_back(world, original):
    """The old text with the present serial, which edit() then raises."""
    now = re.search(r"(?m)^serial: \d+$", (world.folder / "policy/finance.yaml").read_text())[0]
    return re.sub(r"(?m)^serial: \d+$", now, original)


def changed_mode(text, host, mode):
    return re.sub(rf"(host: {re.escape(host)}\n    device: )\w+", rf"\g<1>{mode}", text)


def test_a_ticket_ends_when_its_host_asks_otherwise_and_lives_through_other_changes(gate):
    original = (gate.folder / "policy/finance.yaml").read_text()
    tickets = {v: ticket_of(gate, MAYBE, "laptop-0001", v) for v in ("1.2", "1.3")}
    gate.update("finance", lambda text: changed_mode(text, TWIN, "none").replace("id: anybody", "id: all-people"))
    try:
        for version, ticket in tickets.items():
            with Visit(gate, MAYBE, session=ticket, version=version) as visit:
                assert visit.is_resumed and visit.seen() == SERVED
                tickets[version] = visit.ticket
        gate.update("finance", lambda text: changed_mode(text, MAYBE, "required"))
        for version, ticket in tickets.items():
            assert resumes(gate, MAYBE, ticket, version) == (False, *NOBODY)
    finally:
        gate.update("finance", lambda _: put_back(gate, original))


def test_what_has_expired_ends_tickets_and_open_connections_alike(gate):
    devices, root = Authority.of(gate, "finance-devices"), Authority.of(gate, "finance-root")
    passing = root.below("Passing branch", valid_s=4)
    pairs = {"leaf": devices.device(gate, "short", "laptop-0004", valid_s=4),
             "issuer": passing.device(gate, "below-short", "laptop-0005", [passing])}
    device = {"leaf": "finance-laptops:laptop-0004", "issuer": "finance-branch:laptop-0005"}
    visits = []
    for what, pair in pairs.items():
        for version in ("1.2", "1.3"):
            ticket = ticket_of(gate, MAYBE, pair, version)
            visit = Visit(gate, MAYBE, cert=pair, version=version)
            resumed = Visit(gate, MAYBE, session=ticket, version=version)
            for one in (visit, resumed):
                assert one.seen() == ("permitted", device[what]), (what, version)
            assert resumed.is_resumed
            visits.append((what, version, visit, resumed, visit.ticket))
    end = max(ends_at(pairs["leaf"]), ends_at(passing))
    until(lambda: time.time() > end + 1, "the end of a short life")
    for what, version, visit, resumed, ticket in visits:
        for one in (visit, resumed):
            assert one.seen() == ("device_invalid", None), (what, version)
            one.__exit__()
        assert resumes(gate, MAYBE, ticket, version) == (False, *NOBODY), (what, version)
        with pytest.raises(Refused, match="certificate expired"):
            Visit(gate, STRICT, cert=pairs[what], version=version).ask()


def test_a_ticket_of_another_gateways_keys_is_a_full_handshake(new_world):
    """And one of an older key of our own ring is good still, and is renewed."""
    world = new_world(workers=1)
    tickets = {v: ticket_of(world, MAYBE, "laptop-0001", v) for v in ("1.2", "1.3")}
    ring = world.folder / "keys/gateway/ticket"
    (old,) = ring.glob("*.key")
    newer = ring / "zz-newer.key"

    def restart():
        assert world.stop("gateway", patience_s=20) == 0
        world.start_gateway()
        world.wait_gateway()

    newer.write_text("5a" * 80 + "\n")
    newer.chmod(0o600)
    restart()
    for version, ticket in tickets.items():
        with Visit(world, MAYBE, session=ticket, version=version) as visit:
            assert visit.is_resumed and visit.seen() == SERVED
            tickets[version] = visit.ticket
    old.rename(world.folder / "old.key")
    restart()
    for version, ticket in tickets.items():  # sealed anew by the newer key
        assert resumes(world, MAYBE, ticket, version) == (True, *SERVED)
    newer.write_text("a5" * 80 + "\n")
    restart()
    for version, ticket in tickets.items():
        assert resumes(world, MAYBE, ticket, version) == (False, *NOBODY)


# The name in the hello

def name_of(text):
    return server_names(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize("names,expected", [
    (name_of(MAYBE), "hello"),
    (name_of("MAYBE.Finance.LOCALHOST"), "hello"),
    (name_of(MAYBE + "."), "hello"),
    (b"", 112),
    (name_of(""), 112),
    (name_of("elsewhere.finance.localhost"), 112),
    (name_of("*.finance.localhost"), 112),
    (name_of("finance.localhost"), 112),
    (name_of("127.0.0.1"), 112),
    (name_of("::1"), 112),
    (name_of("[::1]"), 112),
    (name_of(MAYBE + ":443"), 112),
    (name_of(MAYBE + ".."), 112),
    (name_of("." + MAYBE), 112),
    (name_of(" " + MAYBE), 112),
    (name_of(MAYBE.encode() + b"\0"), 112),
    (name_of(MAYBE.encode() + b"\0.evil.example"), 112),
    (name_of("a" * 300), 112),
    (server_names(MAYBE.encode(), kind=1), 112),
    (server_names(MAYBE.encode(), STRICT.encode()), 112),
    (server_names(), 112),
], ids=lambda value: value[9:].decode("latin-1")[:30] if isinstance(value, bytes) else None)
@both_versions
def test_only_the_name_of_a_host_opens_a_door(gate, version, names, expected):
    assert greet(gate, hello(names, version)) == [expected]


def test_a_second_hello_names_the_host_of_the_first(gate):
    first = hello(name_of(OPEN), has_share=False)
    assert greet(gate, first, hello(name_of(OPEN))) == ["retry", "hello"]
    for other in map(name_of, (STRICT, MAYBE, "small.finance.localhost", WARD, "elsewhere.finance.localhost")):
        assert greet(gate, first, hello(other)) == ["retry", 47]
    for malformed in (b"", name_of("127.0.0.1")):
        assert greet(gate, first, hello(malformed)) == ["retry", 112]

    def told():
        return [e for e in gate.events() if e.get("belfry.detail") == "a second hello names another host"]

    event = until(told, "an event of it")[0]
    assert (event["belfry.reason_code"], event["url.domain"]) == ("handshake_failed", OPEN)


# What is not spoken

@pytest.mark.parametrize("legacy", [b"\x03\x00", b"\x03\x01", b"\x03\x02"], ids=["SSL 3.0", "TLS 1.0", "TLS 1.1"])
def test_old_versions_are_not_spoken(gate, legacy):
    assert greet(gate, hello(name_of(MAYBE), "1.2", legacy=legacy, suites=(0xC009, 0xC013, 0xC02B))) in ([70], [40])


def test_ciphers_without_forward_secrecy_or_integrity_are_not_spoken(gate):
    old = (0x009C, 0x002F, 0xC009, 0xC013, 0xC023, 0xC027)  # RSA key exchange, and CBC
    assert greet(gate, hello(name_of(MAYBE), "1.2", suites=old)) == [40]


def test_nothing_is_compressed(gate):
    with connected(gate.port) as plain:
        plain.sendall(hello(name_of(MAYBE), "1.2", methods=b"\x01\x00"))
        kind, data = first_record(plain)
    after_session_id = 38 + 1 + data[38]
    assert kind == 22 and data[after_session_id + 2] == 0


def test_no_ticket_allows_early_data(gate):
    with Visit(gate, MAYBE, cert="laptop-0001") as visit:
        visit.ask("/managed/x")
        assert visit.ticket and visit.early_data_max == 0


def test_nobody_renegotiates(gate):
    with Visit(gate, MAYBE, version="1.2") as visit:
        assert visit.ask("/open/x").status == 200
        visit.tls.renegotiate()
        with pytest.raises(Exception, match="no renegotiation"):
            visit.tls.do_handshake()


def key_update(visit):
    """False when the connection is gone."""
    lib = ctypes.CDLL("libssl.so.3")
    at = ctypes.c_void_p(int(SSL._ffi.cast("uintptr_t", visit.tls._ssl)))
    return lib.SSL_key_update(at, 0) == 1 and lib.SSL_do_handshake(at) == 1


def test_new_keys_are_taken_up_but_not_without_end(gate):
    with Visit(gate, OPEN) as visit:
        for _ in range(20):
            assert key_update(visit) and key_update(visit) and visit.ask().status == 200
        with pytest.raises((SSL.Error, SSL.ZeroReturnError)):
            for _ in range(5000):
                key_update(visit)
            visit.ask()
