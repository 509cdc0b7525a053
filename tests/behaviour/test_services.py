# SPDX-License-Identifier: EUPL-1.2
"""Services, known by their certificate alone: a SPIFFE id of the entity's own trust domain, and nothing that only
looks like one. What a service is let do, a person with the same certificate in hand is not."""

import json

import pytest

import forger
from callers import CALLERS, H2, check_refusal
from devices import Authority
from forger import split

TAX = "tax.finance.localhost"
STRICT = "strict.finance.localhost"
MAYBE = "maybe.finance.localhost"
CLAIMS = "claims.health.localhost"
BATCH = "spiffe://finance.example/batch"

both_protocols = pytest.mark.parametrize("http", ["1.1", "2"])


@both_protocols
def test_a_service_comes_in_by_its_certificate_and_the_application_is_told_who_it_is(world, http):
    answer = world.ask(TAX, "/declarations/1", cert="batch", http=http)
    assert answer.status == 200
    (seen,) = world.origin.requests
    _, claims, _ = split(seen.get("belfry-assertion"))
    assert claims["service"] == BATCH and claims["aud"] == "tax-desk"
    assert not {"groups", "acr", "amr", "provider"} & {name for name in claims if claims[name]}
    event = world.decision(answer.get("belfry-reference"))
    assert event["belfry.service"] == BATCH and event["rule.id"] == "night-batch"
    assert event["belfry.authority"] == "finance-services"
    assert not {"user.hash", "user.roles", "belfry.provider"} & event.keys()


@pytest.mark.parametrize("caller", list(CALLERS))
@both_protocols
def test_where_the_rules_want_a_person_a_service_is_none(world, http, caller):
    answer = world.ask(TAX, "/declarations/1", method="PUT", cert="batch", http=http, headers=CALLERS[caller],
                       body=b"{}")
    event = check_refusal(world, answer, caller, 401, "identity_required")
    assert event["belfry.service"] == BATCH and event["event.action"] == "access-decision"
    assert answer.get("www-authenticate") == 'Bearer realm="tax-desk"'
    assert not world.origin.requests


@both_protocols
def test_where_a_person_would_not_help_a_service_is_not_asked_for_one(world, http):
    """The rule wants a managed device too, and a service's certificate is none: no token could change that."""
    answer = world.ask(TAX, "/", cert="batch", http=http)
    check_refusal(world, answer, "service", 403, "denied")
    assert answer.get("www-authenticate") is None and not world.origin.requests


def test_where_no_rule_is_for_it_a_service_is_denied_like_anybody(world):
    check_refusal(world, world.ask(TAX, "/elsewhere", cert="batch"), "service", 403, "denied")
    check_refusal(world, world.ask(STRICT, "/1", cert="batch"), "service", 403, "denied")  # wants a managed device
    check_refusal(world, world.ask(MAYBE, "/managed/1", cert="batch"), "service", 403, "denied")
    check_refusal(world, world.ask(TAX, "/declarations/secret/1", cert="batch"), "service", 403, "forbidden")
    assert world.ask(MAYBE, "/open/1", cert="batch").status == 200


def test_a_services_certificate_is_no_managed_device_for_a_person(world):
    token = world.token("finance", "anna")
    answer = world.ask(TAX, "/", cert="batch", token=token)
    event = check_refusal(world, answer, "service", 403, "denied")
    assert event["belfry.service"] == BATCH and event["user.hash"]
    assert world.ask(TAX, "/", cert="laptop-0001", token=token).status == 200


def test_a_token_beside_the_certificate_is_judged_and_both_are_told(world):
    token = world.token("finance", "anna", thumbprint=forger.thumbprint(world.client("batch")[0]))
    assert world.ask(TAX, "/declarations/1", cert="batch", token=token).status == 200
    _, claims, _ = split(world.origin.requests[-1].get("belfry-assertion"))
    assert claims["service"] == BATCH and "tax-officers" in claims["groups"]
    answer = world.ask(TAX, "/declarations/1", cert="batch", token="abc")  # a bad one is not passed over
    check_refusal(world, answer, "service", 401, "token_malformed", problem="invalid_token")
    assert world.ask(TAX, "/declarations/1", cert="laptop-0001", token=token).problem == "invalid_token"


def test_a_service_of_one_entity_is_nobody_at_another(world):
    check_refusal(world, world.ask(CLAIMS, "/", cert="batch"), "service", 403, "device_invalid")


NO_SERVICE = {
    "another domain": ["spiffe://health.example/batch"],
    "a domain below": ["spiffe://a.finance.example/batch"],
    "a domain that goes on": ["spiffe://finance.example.evil/batch"],
    "a domain with a port": ["spiffe://finance.example:443/batch"],
    "a user": ["spiffe://root@finance.example/batch"],
    "another scheme": ["https://finance.example/batch"],
    "upper case": ["spiffe://FINANCE.EXAMPLE/batch"],
    "a query": ["spiffe://finance.example/batch?admin"],
    "a fragment": ["spiffe://finance.example/batch#a"],
    "a slash at the end": ["spiffe://finance.example/batch/"],
    "an empty segment": ["spiffe://finance.example//batch"],
    "dots": ["spiffe://finance.example/x/../batch"],
    "an escape": ["spiffe://finance.example/b%61tch"],
    "two names": ["spiffe://finance.example/batch", "spiffe://finance.example/other"],
    "two kinds of names": ["spiffe://finance.example/batch", "https://finance.example/batch"],
    "no name": [],
}


@pytest.mark.parametrize("name", NO_SERVICE)
def test_what_only_looks_like_a_service_is_a_bad_certificate(world, name):
    Authority.of(world, "finance-services").device(world, "no-service", common="batch", uris=NO_SERVICE[name])
    answer = world.ask(TAX, "/declarations/1", cert="no-service")
    check_refusal(world, answer, "service", 403, "device_invalid")
    # Not even where nobody asks who it is, nor with a person's good token.
    assert world.ask(MAYBE, "/open/1", cert="no-service").problem == "device_invalid"
    assert world.ask(TAX, "/declarations/1", cert="no-service", token=world.token("finance", "anna")).status == 403
    assert not world.origin.requests


def test_another_service_of_the_domain_is_another_service(world):
    Authority.of(world, "finance-services").device(world, "other", common="batch",
                                                   uris=["spiffe://finance.example/batch2"])
    event = check_refusal(world, world.ask(TAX, "/declarations/1", cert="other"), "service", 403, "denied")
    assert event["belfry.service"] == "spiffe://finance.example/batch2"


def test_a_device_that_calls_itself_a_service_is_a_device(world):
    """The authority says what its certificates identify, not the certificate."""
    Authority.of(world, "finance-devices").device(world, "posing", uris=[BATCH])
    event = check_refusal(world, world.ask(TAX, "/declarations/1", cert="posing"), "service", 401, "identity_required")
    assert "belfry.service" not in event and event["device.id"] == "finance-laptops:laptop-0009"


def test_two_services_on_one_gateway_never_share_an_assertion(world):
    Authority.of(world, "finance-services").device(world, "other", common="batch",
                                                   uris=["spiffe://finance.example/batch2"])
    for cert, service in (("batch", BATCH), ("other", "spiffe://finance.example/batch2"), ("laptop-0001", None)) * 2:
        world.origin.clear()
        assert world.ask(MAYBE, "/open/1", cert=cert).status == 200
        _, claims, _ = split(world.origin.requests[0].get("belfry-assertion"))
        assert claims.get("service") == service, json.dumps(claims)


def test_one_connection_of_a_service_serves_many_requests(world):
    with H2(world.tls(TAX, "batch", alpn=("h2",))) as h2:
        answers = [h2.end(s) for s in [h2.begin(TAX, f"/declarations/{i}") for i in range(50)]]
    assert {a.status for a in answers} == {200}
    assert len({r.get("belfry-assertion") for r in world.origin.requests}) <= 2  # it is reused
