# SPDX-License-Identifier: EUPL-1.2
"""Services, known by their certificate alone: a SPIFFE id of the entity's own trust domain, and nothing that only
looks like one. What a service is let do, a person with the same certificate in hand is not."""

import json
import time

import pytest

import forger
from callers import CALLERS, H2, check_refusal
from conftest import check_end
from devices import Authority
from forger import Signer, split
from world import World

TAX = "tax.finance.localhost"
STRICT = "strict.finance.localhost"
MAYBE = "maybe.finance.localhost"
CLAIMS = "claims.health.localhost"
BATCH = "spiffe://finance.example/batch"
MESH = "mesh.finance.localhost"
BOTH = "both.finance.localhost"

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


# JWT-SVIDs: services that a token names


@pytest.fixture(scope="module")
def svids():
    return Signer("mesh-1")


@pytest.fixture(scope="module")
def others():
    """A key of the same set that is not for JWT-SVIDs."""
    return Signer("other-1")


@pytest.fixture(scope="module")
def mesh(svids, others):
    """A gateway that takes the JWT-SVIDs of finance.example, and asks at one host for both a certificate and a user."""
    with World(workers=1, hosts=[MESH, BOTH]) as made:
        made.begin()
        keys = json.dumps({"keys": [{**svids.jwk, "use": "jwt-svid"}, others.jwk]})
        upstream = f"http://127.0.0.1:{made.origin.port}"
        made.update("finance", lambda text: text.replace("device_authorities:\n", f"""\
  - id: mesh
    trust_domain: finance.example
    audiences: [ledger]
    jwks: '{keys}'
    leeway: 0s
device_authorities:
""", 1) + f"""
  - id: mesh
    host: {MESH}
    device: optional
    identity_providers: [fas, mesh]
    upstreams: ["{upstream}"]
    rules:
      - id: batch
        permit: {{ paths: ["/batch"] }}
        when: 'service.id == "{BATCH}" && service.trust_domain == "finance.example"'
      - id: people
        permit: {{ paths: ["/people"] }}
        when: 'user.subject != ""'
  - id: both
    host: {BOTH}
    device: required
    identity_providers: [fas, mesh]
    upstreams: ["{upstream}"]
    rules:
      - id: batch-for-a-person
        permit: {{ paths: ["/for-a-person"] }}
        when: 'service.id == "{BATCH}" && user.client_id == "portal" && "tax-officers" in user.groups'
""")
        yield made
        check_end(made)


@pytest.fixture(autouse=True)
def clean_mesh(request):
    if "mesh" in request.fixturenames:
        request.getfixturevalue("mesh").origin.clear()


def svid(signer, header=(), payload=(), without=()):
    """A good one, with changes."""
    now = int(time.time())
    head = {"alg": "ES256", "typ": "JWT", "kid": signer.kid, **dict(header)}
    body = {"sub": BATCH, "aud": ["ledger"], "iat": now, "exp": now + 300, **dict(payload)}
    return signer.sign({k: v for k, v in head.items() if k not in without},
                       {k: v for k, v in body.items() if k not in without})


@both_protocols
def test_a_jwt_svid_is_a_service_and_no_person(mesh, svids, http):
    for token in (svid(svids), svid(svids, without=["typ", "iat"]), svid(svids, {"typ": "JOSE"}), svid(svids, without=["kid"]),
                  svid(svids, payload={"iss": "https://spire.example", "aud": "ledger"})):
        mesh.origin.clear()
        for _ in range(2):  # new, and remembered
            answer = mesh.ask(MESH, "/batch", token=token, http=http)
            assert answer.status == 200
        _, claims, _ = split(mesh.origin.requests[-1].get("belfry-assertion"))
        assert claims["service"] == BATCH and not {"sub", "groups", "provider"} & claims.keys()
        event = mesh.decision(answer.get("belfry-reference"))
        assert event["belfry.service"] == BATCH and event["rule.id"] == "batch" and "user.hash" not in event
    answer = mesh.ask(MESH, "/people", token=svid(svids), http=http)
    assert answer.status in (401, 403) and answer.problem in ("identity_required", "denied")
    person = mesh.token("finance", "anna")
    assert mesh.ask(MESH, "/people", token=person, http=http).status == 200
    assert mesh.ask(MESH, "/batch", token=person, http=http).status == 403


def test_what_only_looks_like_a_jwt_svid_is_refused(mesh, svids, others):
    now = int(time.time())
    issuer = mesh.providers["finance"]["issuer"]
    wrong = {
        "no audience": (svid(svids, without=["aud"]), "token_audience"),
        "no audience in the list": (svid(svids, payload={"aud": []}), "token_audience"),
        "another audience": (svid(svids, payload={"aud": ["tax-api"]}), "token_audience"),
        "no end": (svid(svids, without=["exp"]), "token_malformed"),
        "over": (svid(svids, payload={"exp": now - 1}), "token_expired"),
        "another trust domain": (svid(svids, payload={"sub": "spiffe://health.example/batch"}), "token_issuer"),
        "a trust domain that goes on": (svid(svids, payload={"sub": BATCH.replace("example", "example.evil")}), "token_issuer"),
        "the trust domain itself": (svid(svids, payload={"sub": "spiffe://finance.example"}), "token_issuer"),
        "a slash at the end": (svid(svids, payload={"sub": BATCH + "/"}), "token_issuer"),
        "dots": (svid(svids, payload={"sub": "spiffe://finance.example/x/../batch"}), "token_issuer"),
        "an id too long": (svid(svids, payload={"sub": BATCH + "a" * 2048}), "token_issuer"),
        "nobody": (svid(svids, without=["sub"]), "token_issuer"),
        "a person": (svid(svids, payload={"sub": "anna"}), "token_issuer"),
        "an access token": (svid(svids, {"typ": "at+jwt"}), "token_type"),
        "a logout token": (svid(svids, {"typ": "logout+jwt"}), "token_type"),
        "an ID token": (svid(svids, payload={"nonce": "n"}), "token_type"),
        "of the person's provider": (svid(svids, {"typ": "at+jwt"}, {"iss": issuer}), "token_key_unknown"),
        "another's key under the name": (svid(Signer("mesh-1")), "token_signature"),
        "a key that is for other tokens": (svid(others), "token_key_unknown"),
        "unsigned": (svid(svids, {"alg": "none"}).rsplit(".", 1)[0] + ".", "token_algorithm"),
    }
    for name, (token, reason) in wrong.items():
        answer = mesh.ask(MESH, "/batch", token=token)
        assert answer.status == 401, (name, answer)
        assert mesh.decision(answer.get("belfry-reference"))["belfry.reason_code"] == reason, name
    assert not mesh.origin.requests
    answer = mesh.ask("token.finance.localhost", "/", token=svid(svids))  # an application that takes none
    check_refusal(mesh, answer, "service", 401, "token_issuer", problem="invalid_token")


def test_a_jwt_svid_beside_a_services_certificate_is_of_the_same_service(mesh, svids):
    other = "spiffe://finance.example/batch2"
    Authority.of(mesh, "finance-services").device(mesh, "other", common="batch", uris=[other])
    assert mesh.ask(MESH, "/batch", cert="batch", token=svid(svids)).status == 200
    for cert, name in (("other", BATCH), ("batch", other)):
        answer = mesh.ask(MESH, "/batch", cert=cert, token=svid(svids, payload={"sub": name}))
        check_refusal(mesh, answer, "service", 401, "token_binding", problem="invalid_token")
    assert mesh.ask(MESH, "/batch", cert="laptop-0001", token=svid(svids)).status == 200  # a device is no service
    bound = svid(svids, payload={"cnf": {"x5t#S256": forger.thumbprint(mesh.client("batch")[0])}})
    assert mesh.ask(MESH, "/batch", cert="batch", token=bound).status == 200
    assert mesh.ask(MESH, "/batch", token=bound).problem == "invalid_token"


# Certificate and token, both


@both_protocols
def test_where_a_rule_wants_both_neither_alone_is_enough(mesh, svids, http):
    token = mesh.token("finance", "anna")
    way = dict(http=http)
    answer = mesh.ask(BOTH, "/for-a-person", cert="batch", token=token, **way)
    assert answer.status == 200
    _, claims, _ = split(mesh.origin.requests[-1].get("belfry-assertion"))
    assert claims["service"] == BATCH and claims["sub"] == split(token)[1]["sub"]
    mesh.origin.clear()
    check_refusal(mesh, mesh.ask(BOTH, "/for-a-person", cert="batch", **way), "service", 401, "identity_required")
    check_refusal(mesh, mesh.ask(BOTH, "/for-a-person", token=token, **way), "service", 403, "device_required")
    check_refusal(mesh, mesh.ask(BOTH, "/for-a-person", cert="laptop-0001", token=token, **way), "service", 403, "denied")
    bart = mesh.token("finance", "bart", groups="staff")
    check_refusal(mesh, mesh.ask(BOTH, "/for-a-person", cert="batch", token=bart, **way), "service", 403, "denied")
    answer = mesh.ask(BOTH, "/for-a-person", cert="batch", token=svid(svids), **way)  # twice who, and nobody for whom
    assert answer.status in (401, 403)
    assert not mesh.origin.requests
