# SPDX-License-Identifier: EUPL-1.2
"""Tokens that only their provider can read (RFC 7662): asked about once, believed for a while, judged like all
others; and a provider in trouble is no 401."""

import concurrent.futures
import os
import signal
import time

import pytest

from callers import check_refusal
from conftest import check_end
from world import World, until

OPAQUE = "opaque.finance.localhost"
OTHER = "other.finance.localhost"


@pytest.fixture
def world():
    """The gateway is a client of the real provider, whose access tokens are opaque."""
    with World(workers=2, hosts=[OPAQUE, OTHER]) as made:
        secrets = made.folder / "secrets/fod-finance"
        secrets.mkdir(parents=True, exist_ok=True)
        made.secret = secrets / "idp"
        made.secret.write_text("batch-secret\n")
        made.secret.chmod(0o600)
        made.begin()
        issuer = made.providers["finance"]["issuer"]

        def applications(text):
            text = text.replace("device_authorities:\n", f"""\
  - id: opaque
    issuer: {issuer}
    audiences: [tax-api]
    introspection:
      endpoint: {issuer}/token/introspection
      client_id: batch
      client_secret: ${{secret:idp}}
      max_age: 3s
  - id: elsewhere
    issuer: {issuer}
    audiences: [other-api]
    introspection:
      endpoint: {issuer}/token/introspection
      client_id: batch
      client_secret: ${{secret:idp}}
device_authorities:
""", 1)
            for host, name in ((OPAQUE, "opaque"), (OTHER, "elsewhere")):
                text += f"""
  - id: app-{name}
    host: {host}
    device: none
    identity_providers: [{name}]
    upstreams: [http://127.0.0.1:{made.origin.port}]
    rules:
      - id: anna
        permit: {{}}
        when: 'user.subject == "anna" && "read" in user.scopes'
"""
            return text

        made.update("finance", applications)
        made.tell_provider("finance", "lack", what="jwt")
        yield made
        check_end(made)


def token_of(world, person, **more):
    token = world.token("finance", person, **{"scope": "read", **more})
    assert token.count(".") == 0
    return token


def asked(world):
    return world.metric("belfry_introspections_total")


def test_an_opaque_token_is_asked_about_once_and_judged_by_what_is_told(world):
    token = token_of(world, "anna")
    with concurrent.futures.ThreadPoolExecutor(8) as several:  # at once, on both workers: one question
        assert {a.status for a in several.map(lambda _: world.ask(OPAQUE, token=token), range(16))} == {200}
    assert asked(world) == 1
    (first, *_) = world.origin.requests
    assert token not in str(first.fields)
    check_refusal(world, world.ask(OPAQUE, token=token_of(world, "bart")), "service", 403, "denied")
    check_refusal(world, world.ask(OPAQUE, token=token_of(world, "anna", scope="write")), "service", 403, "denied")
    # The same bytes at another provider of the settings' are another question, and there for nobody.
    answer = world.ask(OTHER, token=token)
    check_refusal(world, answer, "service", 401, "token_audience", problem="invalid_token")
    assert asked(world) == 4


def test_what_the_provider_does_not_know_is_refused_and_not_asked_again_at_once(world):
    for token in ("abc", "A" * 43, "a.b", "~"):
        for _ in range(3):
            answer = world.ask(OPAQUE, token=token)
            check_refusal(world, answer, "service", 401, "token_inactive", problem="invalid_token")
    assert asked(world) <= 5  # each once; 5 s may have passed
    before = asked(world)
    for token in ("a b", "a&client_id=x", "a,b", "é"):  # no letters of a token
        assert world.ask(OPAQUE, token=token).status in (400, 401)
    assert asked(world) == before
    assert not world.origin.requests


def test_what_was_told_counts_for_a_while_only(world):
    token = token_of(world, "anna")
    assert world.ask(OPAQUE, token=token).status == 200
    port = int(world.providers["finance"]["issuer"].rsplit(":", 1)[1])
    world.stop("idp-finance")
    assert world.ask(OPAQUE, token=token).status == 200  # known
    fresh = world.ask(OPAQUE, token="unknown-until-now")
    check_refusal(world, fresh, "service", 503, "provider_unavailable")  # not known to be bad
    answer = until(lambda: (a := world.ask(OPAQUE, token=token)).status != 200 and a, "it is never asked again")
    check_refusal(world, answer, "service", 503, "provider_unavailable")
    assert world.metric("belfry_introspection_failures_total") >= 2
    world.start_provider("finance", port)
    world.wait_provider("finance")  # it has forgotten everything
    answer = until(lambda: (a := world.ask(OPAQUE, token=token)).status == 401 and a, "it is never asked again")
    check_refusal(world, answer, "service", 401, "token_inactive", problem="invalid_token")
    world.tell_provider("finance", "lack", what="jwt")
    assert world.ask(OPAQUE, token=token_of(world, "anna")).status == 200


def test_a_provider_that_hangs_holds_up_nobody_else(world):
    known, token = token_of(world, "anna"), token_of(world, "anna")
    assert world.ask(OPAQUE, token=known).status == 200
    provider = world.processes["idp-finance"]
    os.kill(provider.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(2) as two:
            slow = two.submit(world.ask, OPAQUE, token=token)
            assert world.ask(OPAQUE, token=known).status == 200
            assert time.monotonic() - began < 2
            check_refusal(world, slow.result(), "service", 503, "provider_unavailable")
        assert time.monotonic() - began < 2.5
    finally:
        os.kill(provider.pid, signal.SIGCONT)
    until(lambda: world.ask(OPAQUE, token=token).status == 200, "it does not come back")


def test_a_secret_is_read_when_it_is_needed_and_a_wrong_one_is_trouble(world):
    world.secret.write_text("wrong")
    check_refusal(world, world.ask(OPAQUE, token=token_of(world, "anna")), "service", 503, "provider_unavailable")
    world.secret.unlink()
    check_refusal(world, world.ask(OPAQUE, token=token_of(world, "anna")), "service", 503, "provider_unavailable")
    world.secret.write_text("batch-secret")
    world.secret.chmod(0o600)
    assert world.ask(OPAQUE, token=token_of(world, "anna")).status == 200
    assert "batch-secret" not in world.log_text()
