# SPDX-License-Identifier: EUPL-1.2
"""What an operator takes back is worth nothing a moment later: not in a new request, not in a stream, not in a
ticket; at its own entity alone; and a store that plays with the list is found out, and takes nothing back."""

import hashlib
import json
import ssl
import subprocess
import time

import pytest
import redis

from conftest import check_end
from devices import Authority
from callers import check_refusal
from forger import Signer, with_own_provider
from test_live import Stream, both_protocols
from test_resumption import resumes, ticket_of
from tls_client import Refused
from world import World, until

LIVE, TOKEN = "revoked-live.finance.localhost", "revoked-token.finance.localhost"
MAYBE, STRICT, OPEN = "maybe.finance.localhost", "strict.finance.localhost", "open.finance.localhost"
WARD = "ward.health.localhost"
OWN = "https://own.finance.example"
FINANCE, HEALTH = "fod-finance", "health-agency"


@pytest.fixture(scope="module")
def signer():
    return Signer("own-1")


def policy(text, signer, world):
    upstream = f"upstreams: [http://127.0.0.1:{world.origin.port}]"
    return with_own_provider(text, signer, OWN) + f"""
  - id: revoked-live
    host: {LIVE}
    device: required
    {upstream}
    rules:
      - id: revoked-managed
        permit: {{}}
        when: 'device.trust == "managed"'
  - id: revoked-token
    host: {TOKEN}
    device: none
    identity_providers: [own]
    {upstream}
    rules:
      - id: revoked-users
        permit: {{}}
        when: 'user.subject != ""'
"""


def make(signer, **more):
    world = World(workers=2, hosts=[LIVE, TOKEN], **more)
    world.__enter__()
    world.begin()
    world.update("finance", lambda text: policy(text, signer, world))
    world.store = redis.Redis(unix_socket_path=str(world.redis_socket))
    return world


@pytest.fixture(scope="module")
def gate(signer):
    made = make(signer)
    yield made
    check_end(made)
    made.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def origin_goes_on(gate):
    gate.origin.clear()
    yield
    gate.origin.release.set()
    until(lambda: gate.metric("belfry_requests_open") == 0, "something is left")


def revoke(world, kind, subject, *more, entity=FINANCE):
    return world.command("revoke", kind, subject, "--entity", entity, "-c", world.config, *more)


def listed(world, *more, entity=FINANCE):
    return world.command("revocations", "--entity", entity, "-c", world.config, *more).splitlines()


def device(world, name):
    Authority.of(world, "finance-devices").device(world, name, name)
    return name


@both_protocols
def test_a_stream_is_cut_when_its_device_is_revoked(gate, http):
    name = device(gate, f"lost-{http[0]}")
    with Stream(gate, LIVE, http, cert=name) as stream, Stream(gate, LIVE, http, cert="laptop-0001") as other:
        begun = time.monotonic()
        revoke(gate, "device", f"finance-laptops:{name}", "--reason", "lost on the train")
        stream.is_cut("device_revoked")
        assert time.monotonic() - begun < 5
        other.goes_on()
    assert gate.ask(LIVE, cert=name).problem == "device_revoked"
    assert gate.ask(LIVE, cert="laptop-0001").status == 200


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_ticket_of_a_revoked_device_is_worth_nothing(gate, version):
    name = device(gate, f"ticket-{version[-1]}")
    maybe, strict = (ticket_of(gate, host, name, version) for host in (MAYBE, STRICT))
    assert resumes(gate, MAYBE, maybe, version)[:2] == (True, "permitted")
    refused = gate.metric("belfry_tls_resumptions_refused_total")
    maybe = ticket_of(gate, MAYBE, name, version)
    revoke(gate, "device", f"finance-laptops:{name}")
    until(lambda: gate.ask(MAYBE, "/managed/x", cert=name).problem == "device_revoked", "it is not refused")
    assert resumes(gate, MAYBE, maybe, version)[0] is False
    with pytest.raises(Refused):
        resumes(gate, STRICT, strict, version)
    with pytest.raises(Refused):
        resumes(gate, STRICT, strict, version, cert=name)
    assert gate.metric("belfry_tls_resumptions_refused_total") > refused


def test_a_single_certificate_an_authority_and_what_is_lifted_again(gate):
    certificate, _ = Authority.of(gate, "finance-devices").device(gate, "single", "single")
    Authority.of(gate, "finance-devices").device(gate, "single-2", "single")
    digest = "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(open(certificate).read())).hexdigest()
    revoke(gate, "device", digest)
    until(lambda: gate.ask(LIVE, cert="single").problem == "device_revoked", "it is not refused")
    assert gate.ask(LIVE, cert="single-2").status == 200, "another certificate of the same device"
    revoke(gate, "device", digest, "--lift")
    until(lambda: gate.ask(LIVE, cert="single").status == 200, "it is not lifted")
    revoke(gate, "device", "sha256:" + digest[7:].upper())
    until(lambda: gate.ask(LIVE, cert="single").problem == "device_revoked", "in capitals it is not refused")
    revoke(gate, "device", digest, "--lift")
    until(lambda: gate.ask(LIVE, cert="single").status == 200, "it is not lifted")
    revoke(gate, "authority", "finance-laptops")
    until(lambda: gate.ask(LIVE, cert="laptop-0001").problem == "device_revoked", "the authority is not revoked")
    revoke(gate, "authority", "finance-laptops", "--lift")
    until(lambda: gate.ask(LIVE, cert="laptop-0001").status == 200, "the authority is not lifted")


def test_tokens_end_by_their_id_their_bytes_or_with_all_of_their_user(gate, signer):
    def refused(token):
        answer = gate.ask(TOKEN, token=token)
        if answer.status == 200:
            return False
        check_refusal(gate, answer, "service", 401, "token_revoked", problem="invalid_token")
        return True

    one, two, three = (signer.token(OWN, "own-api", payload={"jti": f"t-{n}", "sub": "anna"}) for n in (1, 2, 3))
    for token in (one, two, three):
        assert gate.ask(TOKEN, token=token).status == 200
    revoke(gate, "token", "jti:own:t-1")
    until(lambda: refused(one), "by its id it goes on")
    revoke(gate, "token", "sha256:" + hashlib.sha256(two.encode()).hexdigest())
    until(lambda: refused(two), "by its bytes it goes on")
    assert gate.ask(TOKEN, token=three).status == 200
    with Stream(gate, TOKEN, "2", token=three) as stream:
        revoke(gate, "user", "own:anna", "--reason", "left the service")
        stream.is_cut("token_revoked")
    assert refused(three)
    later = signer.token(OWN, "own-api", payload={"sub": "anna", "iat": int(time.time()) + 2})
    until(lambda: gate.ask(TOKEN, token=later).status == 200, "what began later is good")


def test_an_entity_revokes_only_its_own(gate):
    revoke(gate, "device", "finance-laptops:laptop-0009", entity=HEALTH)
    revoke(gate, "authority", "finance-laptops", entity=HEALTH)
    revoke(gate, "device", "health-tablets:tablet-0001", entity=FINANCE)
    before = len(listed(gate))
    assert before and len(listed(gate, entity=HEALTH)) == 2
    until(lambda: gate.metric("belfry_revocations") >= before + 2, "it has not come")
    assert gate.ask(LIVE, cert="laptop-0001").status == 200
    assert gate.ask(WARD, "/managed/x", cert="tablet-0001").problem != "device_revoked"


def test_the_list_says_who_what_and_why(gate):
    revoke(gate, "session", "A" * 43, "--by", "els", "--reason", "asked by phone", "--for", "2h")
    line = listed(gate)[-1]
    assert f"session {'A' * 43}" in line and "by els: asked by phone" in line
    entry = json.loads("\n".join(listed(gate, "--json")))[-1]
    assert (entry["kind"], entry["subject"], entry["by"], entry["reason"], entry["in_force"]) == (
        "session", "A" * 43, "els", "asked by phone", True)
    for wrong in (["revoke", "device", "laptop-1", "--entity", FINANCE], ["revoke", "cat", "a:b", "--entity", FINANCE],
                  ["revoke", "token", "sha256:12", "--entity", FINANCE], ["revoke", "user", "a:b"],
                  ["revoke", "user", "a:b", "--entity", FINANCE, "--for", "20y"]):
        assert subprocess.run([gate.belfry, *wrong, "-c", gate.config], capture_output=True).returncode == 2, wrong


def test_where_the_configuration_says_so_nobody_goes_on_by_an_old_list(new_world):
    world = new_world(begin=False, workers=1)
    write = world.write_config

    def strict(*ports):
        write(*ports)
        world.config.write_text(world.config.read_text().replace("max_stale: 1h", "max_stale: 1s, revocations_unknown: refuse"))

    world.write_config = strict
    world.begin()
    assert world.ask(MAYBE, "/managed/x", cert="laptop-0001").status == 200
    world.stop("redis")
    answer = until(lambda: (a := world.ask(MAYBE, "/managed/x", cert="laptop-0001")).status == 503 and a,
                   "it goes on", limit_s=25)
    assert answer.problem == "revocations_stale" and answer.get("retry-after")
