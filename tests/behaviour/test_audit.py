# SPDX-License-Identifier: EUPL-1.2
"""What the audit holds: one decision for each request, under the names that others can read, and nothing by which a
person could be known, or let in, by whoever reads it."""

import datetime
import hashlib
import hmac
import json
import re

import pytest

from callers import BROWSER, H2, SERVICE
from conftest import check_end
from forger import Signer, split
from scenery import ENTITIES
from world import World, until

TAX = "tax.finance.localhost"
TOKEN = "token.finance.localhost"
OPEN = "open.finance.localhost"
SMALL = "small.finance.localhost"
DEAD = "dead.finance.localhost"
CLAIMS = "claims.health.localhost"

# National register numbers, valid and invented: one born before 2000 and one after.
CANARIES = [f"850730033{97 - 850730033 % 97:02}", f"010203011{97 - 2010203011 % 97:02}"]


def written(number):
    """The ways in which people write it."""
    a, b, c, d, e = number[:2], number[2:4], number[4:6], number[6:9], number[9:]
    return [number, f"{a}.{b}.{c}-{d}.{e}", f"{a}{b}{c}-{d}-{e}", f"{a}%20{b}%20{c}%20{d}%20{e}"]


@pytest.fixture(scope="module")
def told():
    """A gateway that logs all it can, and what was said to it: (world, answers, secrets)."""
    with World(workers=2) as made:
        write = made.write_config

        def talkative(*ports):
            write(*ports)
            made.config.write_text(made.config.read_text().replace("level: info", "level: debug"))

        made.write_config = talkative
        made.begin()
        yield made, *converse(made)
        check_end(made)


def converse(world):
    """Every kind of answer, with something in it that nobody may find again."""
    anna, bart, carine = (world.token("finance", name) for name in ("anna", "bart", "carine"))
    dirk = world.token("health", "dirk")
    old = world.token("finance", "anna", age=5000)
    forged = Signer().sign(*split(anna)[:2])
    secrets = {"anna": anna, "bart": bart, "carine": carine, "dirk": dirk, "old": old, "forged": forged,
               "cookie": "c00kie-that-nobody-may-see", "password": "cGFzc3dvcmQ6dGhhdC1pcy1vbmU",
               "key in the query": "s3cret-in-the-query"}
    answers = []
    laptop = {"cert": "laptop-0001"}
    number = CANARIES[0]
    for http in ("1.1", "2"):
        for path, how in [
            ("/declarations/12", {**laptop, "token": anna}), ("/declarations/12", {**laptop, "token": bart}),
            ("/declarations/12", laptop), ("/declarations/12", {}), ("/declarations/12", {"cert": "rogue"}),
            ("/declarations/12", {**laptop, "token": old}), ("/declarations/12", {**laptop, "token": forged}),
            ("/declarations/12", {**laptop, "token": dirk}), ("/declarations/12", {"cert": "batch"}),
            ("/declarations/secret/1", {**laptop, "token": anna}), ("/..%2f", {**laptop, "token": anna}),
            ("/declarations/1", {**laptop, "token": carine, "method": "PUT", "body": number.encode()}),
            ("/declarations/1", {**laptop, "token": anna, "method": "PUT", "body": number.encode()}),
            ("/declarations/12", {**laptop, "headers": [f"authorization: Basic {secrets['password']}"]}),
        ]:
            answers.append(world.ask(TAX, path, http=http, **how))
        answers.append(world.ask(CLAIMS, "/", cert="tablet-0001", token=dirk, http=http))
        answers.append(world.ask(DEAD, "/", http=http))
        answers.append(world.ask(SMALL, "/", method="POST", body=b"b" * 66000, headers=["expect:"], http="1.1"))
        answers.append(world.ask(OPEN, "/", authority="nowhere.localhost", http=http))
        for canary in CANARIES:
            for text in written(canary):
                headers = [f"user-agent: {text}", f"referer: https://x.example/{text}", f"x-person: {text}",
                           f"cookie: id={secrets['cookie']}; n={text}", f"traceparent: 00-{text}"]
                for host in (OPEN, TAX):
                    answers.append(world.ask(host, f"/persons/{text}/x?number={text}&key={secrets['key in the query']}",
                                             http=http, headers=[*headers, *SERVICE],
                                             **({**laptop, "token": bart} if host == TAX else {})))
                answers.append(world.ask(OPEN, f"/a/{text}//b", http=http, headers=[*headers, *BROWSER]))
                answers.append(world.ask(OPEN, f"/p-{text}", method=f"X{canary}", http=http))
        world.ask(OPEN, "/", authority=f"p{CANARIES[0]}.finance.localhost", http=http)
    return answers, secrets


def everything(world):
    """Both texts that operators read, and what the command line said."""
    return world.audit.read_text() + "".join(path.read_text() for path in (world.folder / "log").glob("gateway*"))


def test_each_answer_has_exactly_one_decision_and_its_reference(told):
    world, answers, _ = told
    references = [answer.get("belfry-reference") for answer in answers]
    assert len(set(references)) == len(references)
    for answer, reference in zip(answers, references):
        event = world.decision(reference)  # which asserts that it is one
        is_permit = event["belfry.reason_code"] == "permitted"
        assert event["event.type"] == ["access", "allowed" if is_permit else "denied"]
        if not is_permit:
            assert event["http.response.status_code"] == answer.status
        ends = [e for e in world.events(reference) if e["event.action"] == "access-end"]
        if is_permit:
            (end,) = ends or until(lambda: [e for e in world.events(reference) if e["event.action"] == "access-end"],
                                   "no end")
            assert end["http.response.status_code"] == answer.status
        else:
            assert not ends


def test_nothing_else_is_decided_than_what_was_asked(told):
    world, answers, _ = told
    references = {answer.get("belfry-reference") for answer in answers}
    strays = [e for e in world.events()
              if e.get("event.id") not in references and e["event.action"] == "access-decision"]
    assert not strays


# What Elastic's schema says of each field that we use: its type there.
ECS = {
    "@timestamp": "date", "ecs.version": str, "event.kind": str, "event.category": list, "event.type": list,
    "event.action": str, "event.outcome": str, "event.reason": str, "event.id": str, "event.dataset": str,
    "event.sequence": int, "event.duration": int, "rule.id": str, "organization.id": str, "service.name": str,
    "device.id": str, "tls.client.x509.serial_number": str, "tls.client.hash.sha256": str, "tls.version": str,
    "tls.cipher": str, "http.request.method": str, "http.response.status_code": int, "http.version": str,
    "url.domain": str, "url.path": str, "trace.id": str, "client.ip": str, "user.hash": str, "user.roles": list,
    "observer.name": str, "observer.type": str, "observer.product": str,
}


def test_each_line_is_a_flat_object_of_the_schema(told):
    world, _, _ = told
    lines = world.audit.read_text().splitlines()
    sequence = 0
    for line in lines:
        pairs = json.loads(line, object_pairs_hook=lambda pairs: pairs)
        event = dict(pairs)
        assert len(event) == len(pairs), f"a name stands there twice: {line}"
        for name, value in event.items():
            kind = str if name == "@timestamp" else ECS.get(name)
            if not name.startswith("belfry."):
                assert name in ECS, name
                assert type(value) is kind, (name, value)
            assert value not in ("", [], None), (name, line)
        when = datetime.datetime.strptime(event["@timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ")
        assert abs((datetime.datetime.utcnow() - when).total_seconds()) < 600
        assert event["event.kind"] == "event" and event["event.outcome"] in ("success", "failure", "unknown")
        assert event["event.action"] in ("access-decision", "access-end", "access-refused")
        assert event["event.sequence"] == sequence + 1, "a line is missing"
        sequence = event["event.sequence"]
        if "trace.id" in event:
            assert re.fullmatch("[0-9a-f]{32}", event["trace.id"]) and event["trace.id"].strip("0")
        if "tls.client.hash.sha256" in event:
            assert re.fullmatch("[0-9a-f]{64}", event["tls.client.hash.sha256"])


def test_a_permit_says_who_was_let_in_by_what(told):
    world, answers, _ = told
    event = world.decision(answers[0].get("belfry-reference"))
    assert event["organization.id"] == "fod-finance" and event["service.name"] == "tax-desk"
    assert event["rule.id"] == "officers-read" and event["user.roles"] == ["tax-officers", "staff"]
    assert event["device.id"] == "finance-laptops:laptop-0001" and event["belfry.authority"] == "finance-laptops"
    assert event["http.request.method"] == "GET" and event["url.domain"] == TAX
    assert event["url.path"] == "/declarations/12" and event["client.ip"] == "127.0.0.1"
    assert event["belfry.acr_level"] == 500 and event["belfry.provider"] == "fas" and event["belfry.snapshot"] >= 1
    assert event["http.version"] == "1.1" and event["tls.version"] == "1.3"
    (end,) = until(lambda: [e for e in world.events(event["event.id"]) if e["event.action"] == "access-end"], "no end")
    assert end["event.duration"] > 0 and end["belfry.bytes_out"] == len(answers[0].body)
    assert end["event.sequence"] > event["event.sequence"], "the evidence comes before"


def test_a_person_is_a_keyed_hash_and_the_same_one_each_time(told):
    world, answers, secrets = told
    hashes = {}
    for name, provider in (("anna", "finance"), ("bart", "finance"), ("dirk", "health")):
        host, cert = (TAX, "laptop-0001") if provider == "finance" else (CLAIMS, "tablet-0001")
        seen = {world.decision(world.ask(host, "/x", cert=cert, token=t).get("belfry-reference"))["user.hash"]
                for t in (secrets[name], world.token(provider, name))}
        assert len(seen) == 1, "two tokens of one person are two persons"
        hashes[name] = seen.pop()
    assert len(set(hashes.values())) == 3
    plain = {hashlib.sha256(text.encode()).hexdigest() for name in hashes
             for text in (name, f"fas:{name}", f"fas\0{name}", f"health-idp\0{name}")}
    assert not plain & set(hashes.values()), "a hash without a key is no secret"
    (ring,) = (world.folder / "keys/gateway/audit/fod-finance").glob("*.key")
    key = bytes.fromhex(ring.read_text())
    assert hashes["anna"] == hmac.new(key, b"fas\0anna", "sha256").hexdigest()  # whoever has the key can find a person


@pytest.mark.parametrize("what", ["tokens", "subjects", "numbers", "the rest", "keys"])
def test_nothing_that_identifies_or_opens_stands_in_any_line(told, what):
    world, _, secrets = told
    text = everything(world)
    assert len(text) > 10000, "there is nothing to look through"
    found = []
    if what == "tokens":
        for name in ("anna", "bart", "carine", "dirk", "old", "forged"):
            found += [name for piece in secrets[name].split(".") if piece[:40] in text or piece[-40:] in text]
        assert "eyJ" not in text, "something begins like a JWT"
    elif what == "subjects":
        found = re.findall(r"\b(?:anna|bart|carine|dirk)\b", text)
    elif what == "numbers":
        digits = re.sub(r"%20|[ .-]", "", text)
        found = [canary for canary in CANARIES if canary in digits]
        assert text.count("[redacted]") >= 4 * len(CANARIES), "they were not even there"
    elif what == "the rest":
        found = [name for name in ("cookie", "password", "key in the query") if secrets[name] in text]
        found += re.findall(r"user-agent|referer|number=", text, re.I)
    else:
        for path in (world.folder / "keys").rglob("*"):
            if path.is_file():
                found += [path for line in path.read_text().splitlines()
                          if len(line) >= 32 and "-----" not in line and line in text]
    assert not found


def test_what_stands_in_the_way_of_a_national_number_only_is_left(told):
    """Numbers of other kinds, with eleven digits too, are not taken for one."""
    world, _, _ = told
    for text in ("85073003329", "123456789012", "850730033", "00000000000"):
        answer = world.ask(OPEN, f"/orders/{text}")
        path = world.decision(answer.get("belfry-reference"))["url.path"]
        assert path == f"/orders/{text}" or text in CANARIES


def test_a_trace_that_the_caller_began_is_gone_on_with_and_another_is_made(told):
    world, _, _ = told
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = world.ask(OPEN, "/trace", headers=[f"traceparent: 00-{trace}-00f067aa0ba902b7-01"])
    assert world.decision(answer.get("belfry-reference"))["trace.id"] == trace
    (seen,) = world.origin.seen("/trace")
    assert seen.get("traceparent").split("-")[1] == trace and "00f067aa0ba902b7" not in seen.get("traceparent")
    assert seen.get("belfry-reference") == answer.get("belfry-reference")


def test_a_flood_of_refusals_is_counted_and_its_sum_is_exact(new_world):
    world = new_world(workers=1)
    count = 3000
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        asked = 0
        while asked < count:
            for stream in [h2.begin(OPEN, "/.belfry/x") for _ in range(100)]:
                assert h2.end(stream).status == 404
                asked += 1
    assert world.ask(OPEN, "/1").status == 200  # nobody is kept out by it

    def told_of():
        events = [e for e in world.events() if e["belfry.reason_code"] == "not_found"]
        return sum(e.get("belfry.count", 1) for e in events) >= count and events

    events = until(told_of, "not all are accounted for")
    assert sum(e.get("belfry.count", 1) for e in events) == count
    if len(events) < count:
        assert world.metric("belfry_audit_folded_total") == count - len([e for e in events if "belfry.count" not in e])


def test_two_entities_are_hashed_with_two_keys(told):
    world, _, _ = told
    rings = [world.folder / "keys/gateway/audit" / entity for entity, _, _ in ENTITIES.values()]
    assert len({next(ring.glob("*.key")).read_text() for ring in rings}) == len(rings)
