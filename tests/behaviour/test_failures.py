# SPDX-License-Identifier: EUPL-1.2
"""What is around the gateway fails, lies or is changed: what goes on, what stops, and who is told. And its own end."""

import concurrent.futures
import contextlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from cryptography import x509

from callers import H2, Ended, check_refusal, read_answer
from conftest import check_end
from world import World, until

TAX = "tax.finance.localhost"
MAYBE = "maybe.finance.localhost"
OPEN = "open.finance.localhost"
EVERYBODY = "id: everybody\n        permit: {}"  # the rule of `open`


def is_let_in(world, person="anna"):
    token = world.token("finance", person)  # one that it has not seen: nothing is only remembered
    return world.ask(TAX, "/declarations/1", cert="laptop-0001", token=token).status == 200


# The store goes away


def test_the_gateway_goes_on_without_its_store_starts_without_it_and_follows_it_again(new_world):
    world = new_world(workers=1)
    world.stop("redis")
    until(lambda: world.metric("belfry_store_connected") == 0, "it does not notice")
    assert is_let_in(world)
    status, text = world.admin("/readyz")
    assert status == 200 and re.search(r"(?m)^degraded store: away for \d+ s; ", text) and "ok policy" in text
    assert "lost: decisions go on by the rules that are known" in world.log_text()

    # A start with nothing but state_dir.
    assert world.stop("gateway") == 0
    world.start_gateway()
    world.wait_gateway()
    assert world.metric("belfry_store_connected") == 0 and world.metric("belfry_trust_memory") == 1
    until(lambda: "degraded keys" not in world.admin("/readyz")[1], "no keys")
    assert is_let_in(world)
    assert world.ask(TAX, "/elsewhere", cert="laptop-0001", token=world.token("finance", "anna")).problem == "denied"
    assert "degraded store" in world.admin("/readyz")[1]

    # And the store comes back, with something new.
    world.start_redis()
    world.wait_redis()
    world.edit("finance", lambda text: text.replace(EVERYBODY,
                                                    'id: everybody\n        permit: { paths: ["/new/**"] }', 1))
    world.publish("finance")
    until(lambda: world.metric("belfry_store_connected") == 1, "it does not connect again", limit_s=20)
    until(lambda: world.ask(OPEN, "/old").problem == "denied", "it does not follow again")
    assert world.ask(OPEN, "/new/1").status == 200 and "ok store" in world.admin("/readyz")[1]


def test_a_store_that_is_away_for_too_long_makes_it_unready_but_takes_nobody_his_access(new_world):
    world = new_world(begin=False, workers=1)
    write = world.write_config

    def hasty(*ports):
        write(*ports)
        world.config.write_text(world.config.read_text().replace("max_stale: 1h", "max_stale: 1s"))

    world.write_config = hasty
    world.begin()
    world.stop("redis")
    text = until(lambda: (r := world.admin("/readyz"))[0] == 503 and r[1], "it stays ready")
    assert "failed store: away for" in text and "longer than store.max_stale" in text
    assert world.admin("/healthz")[0] == 200 and is_let_in(world)


def test_without_store_and_without_memory_nothing_is_promised(new_world):
    world = new_world(begin=False, workers=1)
    world.begin(gateway=False)
    world.stop("redis")
    world.start_gateway()
    until(lambda: world.admin("/healthz")[0] == 200, "it is not alive")
    status, text = world.admin("/readyz")
    assert status == 503 and "failed policy" in text
    with pytest.raises((OSError, ssl.SSLError)):
        world.tls(OPEN)
    world.start_redis()
    world.wait_redis()
    world.wait_gateway()
    assert world.ask(OPEN).status == 200


def test_what_could_not_be_remembered_at_first_is_tried_again(new_world):
    world = new_world(begin=False, workers=1)
    world.begin(gateway=False)
    world.stop("redis")
    world.start_gateway()
    until(lambda: world.admin("/healthz")[0] == 200, "it is not alive")
    in_the_way = world.folder / "state/charter.signed.tmp"
    in_the_way.mkdir()
    world.start_redis()
    until(lambda: "degraded activation" in world.admin("/readyz")[1], "it does not say so")
    in_the_way.rmdir()
    world.wait_gateway()
    assert world.ask(OPEN).status == 200


# The origin goes away


def test_an_application_that_goes_away_is_502_and_comes_back_by_itself(new_world):
    world = new_world(workers=1)
    port = world.origin.port
    assert world.ask(OPEN, "/1").status == 200
    world.origin.listener.shutdown(socket.SHUT_RDWR)
    world.origin.listener.close()
    # The pooled connection still stands; it is a new one that finds nobody.
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        streams = [h2.begin(OPEN, "/2") for _ in range(4)]
        answers = [h2.end(stream) for stream in streams]
    gone = [a for a in answers if a.status == 502]
    assert gone and all(a.get("proxy-status") == "belfry; error=connection_refused" for a in gone), answers
    assert world.admin("/readyz")[0] == 200
    back = socket.create_server(("127.0.0.1", port))
    world.origin.listener = back
    threading.Thread(target=world.origin._accept, daemon=True).start()
    until(lambda: world.ask(OPEN, "/3").status == 200, "it does not come back")
    back.close()


# SIGTERM


def raw_request(host, path):
    return f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()


def test_sigterm_lets_the_requests_under_way_end_and_takes_no_new_ones(new_world):
    world = new_world(workers=2)
    idle = world.tls(OPEN)
    busy = world.tls(OPEN)
    with H2(world.tls(OPEN, alpn=("h2",))) as h2, idle, busy:
        busy.sendall(raw_request(OPEN, "/wait/1"))
        stream = h2.begin(OPEN, "/wait/2")
        until(lambda: len(world.origin.requests) == 2, "they are not under way")
        world.gateway.send_signal(signal.SIGTERM)
        until(lambda: "going down" in world.log_text(), "it does not hear")
        assert idle.recv(100) == b"", "a connection without a request does not end"
        while h2.goaway is None:
            h2.turn()
        assert h2.goaway == 0
        until(lambda: refuses(world.port), "it still listens")
        world.origin.release.set()
        answer, rest = read_answer(busy)
        assert answer.body == b"GET /wait/1 0" and not rest and busy.recv(100) == b""
        assert h2.end(stream).body == b"GET /wait/2 0"
        with pytest.raises(Ended):
            while True:
                h2.turn()
    assert world.gateway.wait(10) == 0
    ends = [e for e in world.events() if e["event.action"] == "access-end"]
    assert [e["belfry.reason_code"] for e in ends] == ["permitted"] * 2


def refuses(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_drain_has_an_end(new_world):
    world = new_world(workers=1)  # drain: 2s
    with H2(world.tls(OPEN, alpn=("h2",))) as h2, world.tls(OPEN) as h1:
        h1.sendall(raw_request(OPEN, "/events/1"))
        stream = h2.begin(OPEN, "/never/2")
        until(lambda: len(world.origin.requests) == 2, "they are not under way")
        began = time.monotonic()
        world.gateway.send_signal(signal.SIGTERM)
        assert world.gateway.wait(10) == 0
        assert 1.5 < time.monotonic() - began < 8
        with pytest.raises((Ended, AssertionError, OSError)):
            assert h2.end(stream).status == 200
        data = b""
        with contextlib.suppress(OSError):
            while piece := h1.recv(65536):
                data += piece
        assert b"data: 1" in data and not data.endswith(b"0\r\n\r\n"), "an end that is not one"
    ends = [e for e in world.events() if e["event.action"] == "access-end"]
    assert len(ends) == 2 and "permitted" not in [e["belfry.reason_code"] for e in ends]


def test_what_was_let_in_is_in_the_audit_when_the_gateway_has_ended(new_world):
    world = new_world(workers=2)
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        answers = [h2.end(s) for s in [h2.begin(OPEN, f"/{i}") for i in range(50)]]
        world.gateway.send_signal(signal.SIGTERM)
    assert world.gateway.wait(10) == 0
    references = [a.get("belfry-reference") for a in answers]
    actions = {}
    for event in world.events():
        actions.setdefault(event.get("event.id"), []).append(event["event.action"])
    assert all(actions[r] == ["access-decision", "access-end"] for r in references)


# SIGHUP


@pytest.fixture(scope="module")
def reloaded():
    with World(workers=2) as made:
        yield made.begin()
        check_end(made)


def hang_up(world, metric="belfry_reloads_total"):
    before = world.metric(metric)
    world.gateway.send_signal(signal.SIGHUP)
    until(lambda: world.metric(metric) > before, f"no {metric}")


def certificate_number(tls):
    return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)).serial_number


def renew(world, host):
    """A new certificate of that host by the same authority, as a renewal does it."""
    home = world.pki / "certificates" / host
    request = home / "request.pem"
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj",
                    f"/CN={host}", "-keyout", home / "key.new", "-out", request], check=True, capture_output=True)
    profile = home / "extensions"
    profile.write_text(f"subjectAltName=DNS:{host}\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n"
                       "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", world.pki / "ca/server-ca.pem", "-CAkey",
                    world.pki / "ca/server-ca.key", "-days", "2", "-extfile", profile, "-out",
                    home / "fullchain.new"], check=True, capture_output=True)
    shutil.move(home / "key.new", home / "key.pem")
    shutil.move(home / "fullchain.new", home / "fullchain.pem")


def test_sighup_takes_up_a_renewed_certificate_and_leaves_connections_alone(reloaded):
    world = reloaded
    with world.tls(OPEN) as before, world.tls(OPEN) as busy:
        old = certificate_number(before)
        busy.sendall(raw_request(OPEN, "/wait/reload"))
        until(lambda: world.origin.seen("/wait/reload"), "it is not under way")
        renew(world, OPEN)
        hang_up(world)
        until(lambda: numbers(world) and old not in numbers(world), "the new certificate is not shown")
        before.sendall(raw_request(OPEN, "/after"))
        assert read_answer(before)[0].status == 200
        world.origin.release.set()
        assert read_answer(busy)[0].body == b"GET /wait/reload 0"
    world.origin.clear()
    assert "configuration taken over" in world.log_text()


def numbers(world):
    """What several new connections are shown; they fall to both workers."""
    seen = set()
    for _ in range(6):
        with world.tls(OPEN) as tls:
            seen.add(certificate_number(tls))
    return seen


BAD_CONFIGS = {
    "a key that is not known": (lambda text: text + "surplus: 1\n", "surplus"),
    "no YAML": (lambda text: text + "\t: [\n", "belfry.yaml"),
    "a wrong value": (lambda text: text.replace("drain: 2s", "drain: soon"), "drain"),
    "without trust": (lambda text: re.sub(r"(?m)^trust: .*$", "", text), "trust.federation_keys"),
    "no keys": (lambda text: re.sub(r"(?m)^keys_dir: .*$", "keys_dir: /nowhere", text), "nowhere"),
    "what only a restart changes": (lambda text: text.replace("workers: 2", "workers: 1"), "workers"),
    "another store": (lambda text: re.sub(r'url: "[^"]*"', 'url: "redis+unix:///nowhere"', text), "store.url"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_a_configuration_that_is_bad_is_refused_with_its_reason_and_the_old_one_goes_on(reloaded, name):
    world = reloaded
    change, word = BAD_CONFIGS[name]
    good = world.config.read_text()
    log = len(world.log_text())
    world.config.write_text(change(good))
    assert world.config.read_text() != good
    try:
        hang_up(world, "belfry_reloads_refused_total")
        told = world.log_text()[log:]
        assert "configuration refused, the old one goes on" in told and word in told, told
        assert world.admin("/readyz")[0] == 200 and world.ask(OPEN, "/1").status == 200 and is_let_in(world)
    finally:
        world.config.write_text(good)
    hang_up(world)  # and the good one is taken again


def test_a_certificate_that_is_bad_costs_no_host_its_service(reloaded):
    """The log names the host; the others do not care."""
    world = reloaded
    home = world.pki / "certificates" / MAYBE
    kept = (home / "fullchain.pem").read_bytes()
    (home / "fullchain.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    log = len(world.log_text())
    try:
        world.gateway.send_signal(signal.SIGHUP)
        until(lambda: MAYBE in world.log_text()[log:], "the log does not name the host")
        assert world.ask(OPEN, "/1").status == 200 and is_let_in(world)
    finally:
        (home / "fullchain.pem").write_bytes(kept)
    hang_up(world)
    until(lambda: serves(world, MAYBE), "the host does not come back")


def serves(world, host):
    try:
        return world.ask(host, "/open/1").status == 200
    except OSError:
        return False


def test_reloads_under_load_lose_no_request(reloaded):
    world = reloaded
    stop = threading.Event()

    def visit(http):
        done = 0
        while not stop.is_set():
            if http == "2":
                with H2(world.tls(OPEN, alpn=("h2",))) as h2:
                    for i in range(20):
                        assert h2.ask(OPEN, f"/{i}").status == 200
                        done += 1
            else:
                with world.tls(OPEN) as tls:
                    for i in range(20):
                        tls.sendall(raw_request(OPEN, f"/{i}"))
                        assert read_answer(tls)[0].status == 200
                        done += 1
        return done

    with concurrent.futures.ThreadPoolExecutor(4) as visitors:
        visits = [visitors.submit(visit, http) for http in ("1.1", "2", "1.1", "2")]
        try:
            for i in range(6):
                if i % 2:
                    renew(world, OPEN)
                else:
                    world.update("finance", lambda text: text)
                hang_up(world)
        finally:
            stop.set()
        assert all(visit.result() > 20 for visit in visits)
    world.origin.clear()


def test_a_bundle_that_asks_another_question_of_open_connections_gets_421_not_an_old_answer(reloaded):
    """The host turns from `none` to `required`: a connection that was never asked for a certificate can't go on."""
    world = reloaded
    with world.tls(OPEN) as before:
        before.sendall(raw_request(OPEN, "/1"))
        assert read_answer(before)[0].status == 200
        world.update("finance", lambda text: text.replace("host: open.finance.localhost\n    device: none",
                                                          "host: open.finance.localhost\n    device: required"))
        before.sendall(raw_request(OPEN, "/2"))
        answer, _ = read_answer(before)
        check_refusal(world, answer, "service", 421, "host_misdirected")
    check_refusal(world, world.ask(OPEN, "/3"), "service", 403, "device_required")
    assert world.ask(OPEN, "/4", cert="laptop-0001").status == 200
    world.update("finance", lambda text: text.replace("host: open.finance.localhost\n    device: required",
                                                      "host: open.finance.localhost\n    device: none"))
    assert world.ask(OPEN, "/5").status == 200
