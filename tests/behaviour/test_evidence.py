# SPDX-License-Identifier: EUPL-1.2
"""What decisions were made on lies sealed in their audit lines: replay and explain judge by it again, whoever has the key. And bundles in
shadow, which decide nothing, while audit, metrics and shadow-report say what they would have done."""

import json
import re
import subprocess
from datetime import datetime, timedelta

import pytest
import redis

from conftest import check_end
from forger import Signer, with_own_provider
from test_hostile_store import put
from world import World, until

HOST = "evidence.finance.localhost"
ROBOTS = "robots.finance.localhost"
OWN = "https://own.finance.example"
NUMBER = "85073003328"  # of the national register, by its form and check digits
RULES = """
      - id: by-query
        permit: { paths: ["/query"] }
        when: request.query_parameters["case"] == ["a b"]
      - id: by-header
        permit: { paths: ["/header"] }
        when: 'request.headers["x-case-id"] == ["12"]'
      - id: by-client
        permit: { paths: ["/client/**", "/persons/{number}"] }
        when: user.client_id == "portal" && "read" in user.scopes && !has(user.acr)
"""


@pytest.fixture(scope="module")
def signer():
    return Signer("own-1")


@pytest.fixture(scope="module")
def gate(signer):
    with World(workers=2, hosts=[HOST, ROBOTS]) as made:
        made.begin()
        made.update("finance", lambda text: with_own_provider(text, signer, OWN) + f"""
  - id: evidence
    host: {HOST}
    device: none
    identity_providers: [own]
    upstreams: [http://127.0.0.1:{made.origin.port}]
    facts: {{ headers: [x-case-id, x-unread] }}
    rules:{RULES}""")
        made.ring = made.folder / "keys/gateway/audit/fod-finance"
        yield made
        check_end(made)


def ask(gate, path, status, **more):
    answer = gate.ask(HOST, path, **more)
    assert answer.status == status, answer
    return gate.decision(answer.get("belfry-reference"))


def policy(gate, *words, code):
    done = subprocess.run([gate.belfry, "policy", *map(str, words), "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def changed_bundle(gate, before, after):
    text = gate.policy_file("finance").read_text()
    assert before in text
    path = gate.folder / "policy/changed.yaml"
    path.write_text(text.replace(before, after))
    return path


def log_of(gate, *events):
    path = gate.folder / "picked.jsonl"
    path.write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))
    return path


def test_facts_are_sealed_and_judged_by_again(gate, signer):
    token = signer.token(OWN, "own-api", payload={"client_id": "portal", "scope": "read write"})
    events = [ask(gate, "/query?case=a+b&name=Vandenberghe", 200),
              ask(gate, "/header", 200, headers=["x-case-id: 12", "x-unread: secret-word"]),
              ask(gate, "/header", 403),
              ask(gate, "/client/1", 200, token=token), ask(gate, f"/persons/{NUMBER}", 200, token=token)]
    assert events[4]["url.path"] == "/persons/[redacted]"
    text = json.dumps(events)
    for secret in ("Vandenberghe", "secret-word", NUMBER, "portal", "a+b", "write"):
        assert secret not in text, "what is of a person is never in clear"
    log, same = log_of(gate, *events), gate.policy_file("finance")
    keys = ["--keys", gate.ring]

    blind = policy(gate, "replay", same, "--audit", log, code=4)
    assert (blind["sealed"], blind["changed"], blind["unknown"]) == (5, 0, 5), "nothing is guessed without a key"
    seen = policy(gate, "replay", same, "--audit", log, *keys, code=0)
    assert (seen["sealed"], seen["changed"], seen["unknown"]) == (0, 0, 0), "and nothing is with one"

    other = changed_bundle(gate, '"read" in user.scopes', '"admin" in user.scopes')
    said = policy(gate, "replay", other, "--audit", log, *keys, code=1)
    assert (said["changed"], said["unknown"]) == (2, 0)
    other = changed_bundle(gate, '["a b"]', '["c"]')
    said = policy(gate, "replay", other, "--audit", log, *keys, code=1)
    assert (said["changed"], said["unknown"]) == (1, 0) and said["changes"][0]["request"].endswith("/query")


def test_a_fact_that_no_rule_named_then_is_unknown_not_missing(gate, signer):
    token = signer.token(OWN, "own-api", payload={"client_id": "portal", "scope": "read"})
    log = log_of(gate, ask(gate, "/client/1", 200, token=token), ask(gate, "/header", 200, headers=["x-case-id: 12"]))
    for condition, fact in (('has(user.amr)', "user.amr"), ("user.subject == 'x'", "user.subject")):
        other = changed_bundle(gate, "!has(user.acr)", condition)
        said = policy(gate, "replay", other, "--audit", log, "--keys", gate.ring, code=4)
        assert (said["changed"], said["unknown"], said["facts_not_held"]) == (0, 1, [fact])
    other = changed_bundle(gate, 'request.headers["x-case-id"] == ["12"]', 'request.headers["x-unread"] == ["12"]')
    said = policy(gate, "replay", other, "--audit", log, "--keys", gate.ring, code=4)
    assert (said["changed"], said["unknown"]) == (0, 1), "what was not recorded may have been there"


def test_explain_unseals_the_line_of_a_reference(gate, signer):
    token = signer.token(OWN, "own-api", payload={"client_id": "portal", "scope": "read"})
    event = ask(gate, f"/persons/{NUMBER}", 200, token=token)
    log, reference, same = log_of(gate, event), event["event.id"], gate.policy_file("finance")
    said = policy(gate, "explain", same, "--audit", log, "--reference", reference, "--keys", gate.ring, code=0)
    assert (said["verdict"], said["rule"], said["unknown"]) == ("permit", "by-client", [])
    assert said["path"] == f"/persons/{NUMBER}" and not said["recorded"]["sealed"]


def test_another_key_opens_nothing_and_nothing_moves_between_lines(gate):
    one, two = ask(gate, "/query?case=a+b", 200), ask(gate, "/query?case=c", 403)
    foreign = next(ring for ring in gate.ring.parent.iterdir() if ring != gate.ring)
    same = gate.policy_file("finance")
    swapped = {**two, "belfry.facts": one["belfry.facts"]}
    broken = {**one, "belfry.facts": one["belfry.facts"][:-8] + "AAAAAAAA"}
    for keys, events, sealed in ((foreign, [one], 1), (gate.ring, [swapped, broken], 2), (gate.ring, [one, two], 0)):
        said = policy(gate, "replay", same, "--audit", log_of(gate, *events), "--keys", keys, code=4 if sealed else 0)
        assert (said["sealed"], said["unknown"], said["changed"]) == (sealed, sealed, 0)


def test_what_is_too_large_is_said_to_be_missing(gate):
    event = ask(gate, "/query?case=a+b&x=" + "y" * 3000, 200)
    assert event["belfry.facts_cut"] and len(event["belfry.facts"]) < 500
    said = policy(gate, "replay", gate.policy_file("finance"), "--audit", log_of(gate, event), "--keys", gate.ring, code=4)
    assert (said["sealed"], said["unknown"], said["facts_not_held"]) == (0, 1, ["request.query_parameters"])


def test_the_ring_is_rotated_and_both_keys_open_what_they_sealed(gate):
    before = ask(gate, "/query?case=a+b", 200)
    old = next(gate.ring.glob("*.key"))
    a_second_later = datetime.strptime(old.stem, "%Y%m%d%H%M%S") + timedelta(seconds=1)
    made = gate.ring / f"{a_second_later:%Y%m%d%H%M%S}.key"
    made.write_text("ab" * 32 + "\n")
    made.chmod(0o600)
    gate.command("reload", "-c", gate.config)
    until(lambda: ask(gate, "/query?case=a+b", 200)["belfry.facts"][:12] != before["belfry.facts"][:12], "the new key is not used")
    after = ask(gate, "/query?case=a+b", 200)
    same, log = gate.policy_file("finance"), log_of(gate, before, after)
    assert policy(gate, "replay", same, "--audit", log, "--keys", gate.ring, code=0)["sealed"] == 0
    assert policy(gate, "replay", same, "--audit", log, "--keys", made, code=4)["sealed"] == 1
    assert policy(gate, "replay", same, "--audit", log, "--keys", old, code=4)["sealed"] == 1


# Bundles in shadow

SHADOW = "belfry_shadow_bundle_differences_total"


def publish_trial(gate, *changes, serial=None):
    """The bundle in force with changes, in shadow, with the next serial but some."""
    text = gate.policy_file("finance").read_text()
    in_force = int(re.search(r"(?m)^serial: (\d+)$", text)[1])
    serial = serial or in_force + 5
    for before, after in ((f"serial: {in_force}\n", f"serial: {serial}\nmode: shadow\n"), *changes):
        assert before in text
        text = text.replace(before, after, 1)
    path = gate.folder / "policy/trial.yaml"
    path.write_text(text)
    before = gate.metric("belfry_snapshot")
    said = gate.command("policy", "publish", path, *gate.key_words("finance"), "--store", gate.store)
    assert f"fod-finance.shadow, serial {serial}" in said
    until(lambda: gate.metric("belfry_snapshot") > before, "it does not come")
    return serial


def seen(event):
    return event.get("belfry.shadow.bundle"), event.get("belfry.shadow.bundle_rule")


def end_trial(gate):
    """The next bundle in force has a higher serial."""
    for _ in range(6):
        gate.edit("finance", lambda text: text)
    gate.update("finance", lambda text: text)


def test_a_bundle_in_shadow_decides_nothing_and_is_reported(gate, signer):
    before = gate.metric(SHADOW)
    serial = publish_trial(gate, ('["/query"]', '["/question"]'), ('"read" in user.scopes', "true"))
    token = signer.token(OWN, "own-api", payload={"client_id": "portal", "scope": "write"})
    events = [ask(gate, "/query?case=a+b", 200), ask(gate, "/question?case=a+b", 403), ask(gate, "/client/1", 403, token=token),
              ask(gate, "/header", 200, headers=["x-case-id: 12"])]
    assert [seen(event) for event in events] == [(serial, None), (serial, "by-query"), (serial, "by-client"), (None, None)]
    until(lambda: gate.metric(SHADOW) == before + 3, "it is not counted")
    assert gate.metric("belfry_bundles_refused_total") == 0
    said = policy(gate, "shadow-report", "--audit", log_of(gate, *events), code=1)
    name = f"bundle {serial} in shadow"
    assert {(one["rule"], one["becomes"], one["requests"], one["persons"]) for one in said["shadows"]} == {
        (f"{name}, where nothing permits it", "deny", 1, 0), (f"{name}, rule by-query", "permit", 1, 0),
        (f"{name}, rule by-client", "permit", 1, 1)}
    # What only the bundle in shadow asks for is on record too: it can be replayed before it is in force.
    same = changed_bundle(gate, "serial: ", "serial: 1")
    assert policy(gate, "replay", same, "--audit", log_of(gate, *events), "--keys", gate.ring, code=0)["unknown"] == 0
    end_trial(gate)
    assert seen(ask(gate, "/query?case=a+b", 200)) == (None, None), "the trial is over"


def test_a_bundle_in_shadow_below_the_one_in_force_is_not_published(gate):
    path = gate.folder / "policy/trial.yaml"
    path.write_text(gate.policy_file("finance").read_text().replace("\nnot_after:", "\nmode: shadow\nnot_after:", 1))
    done = subprocess.run([gate.belfry, "policy", "publish", path, *gate.key_words("finance"), "--store", gate.store],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "needs a serial above" in done.stderr


def test_a_bundle_in_shadow_that_has_not_the_host_or_the_provider(gate, signer):
    token = signer.token(OWN, "own-api", payload={"client_id": "portal", "scope": "read"})
    serial = publish_trial(gate, (f"host: {HOST}\n    device: none\n    identity_providers: [own]", f"host: {HOST}\n    device: none"))
    assert seen(ask(gate, "/client/1", 200, token=token)) == (serial, None)
    assert seen(ask(gate, "/query?case=a+b", 200)) == (None, None)
    serial = publish_trial(gate, (f"host: {HOST}", "host: live-free.finance.localhost"), serial=serial + 1)
    assert seen(ask(gate, "/query?case=a+b", 200)) == (serial, None)
    end_trial(gate)


def test_a_trial_without_certificates_knows_no_service_by_one(gate):
    """With `device: none` nobody would be asked for it: neither the device nor the service that it names is there."""
    rule = "      - id: robots\n        permit: { paths: [\"/robots\"] }\n        when: 'service.id == \"spiffe://finance.example/batch\"'\n"
    gate.update("finance", lambda text: text + f"""
  - id: robots
    host: {ROBOTS}
    device: optional
    upstreams: [http://127.0.0.1:{gate.origin.port}]
    rules:
{rule}""")

    def batch(status):
        answer = gate.ask(ROBOTS, "/robots", cert="batch")
        assert answer.status == status, answer
        return seen(gate.decision(answer.get("belfry-reference")))

    serial = publish_trial(gate, ("id: robots\n", "id: robot\n"))  # nothing that counts
    assert batch(200) == (None, None)
    serial = publish_trial(gate, (f"host: {ROBOTS}\n    device: optional", f"host: {ROBOTS}\n    device: none"), serial=serial + 1)
    assert batch(200) == (serial, None)
    end_trial(gate)


def test_a_trial_goes_on_after_a_restart_and_a_store_can_not_change_its_mode(gate):
    store = gate.store_itself = redis.Redis(unix_socket_path=str(gate.redis_socket))
    old = store.get("belfry:bundle:fod-finance.shadow")
    serial = publish_trial(gate, ('["/query"]', '["/question"]'))
    trial, live = store.get("belfry:bundle:fod-finance.shadow"), store.get("belfry:bundle:fod-finance")
    log = len(gate.log_text())
    for key, document, words in (("bundle:fod-finance", trial, "lies in the place of one that decides"),
                                 ("bundle:fod-finance.shadow", live, "lies in the place of one in shadow"),
                                 ("bundle:fod-finance.shadow", old, "is older than one seen before")):
        put(gate, key, document, 900)
        until(lambda: words in gate.log_text()[log:], "nobody is alarmed")
        assert seen(ask(gate, "/query?case=a+b", 200)) == (serial, None)
    gate.stop("gateway")
    gate.start_gateway()
    gate.wait_gateway()
    assert seen(ask(gate, "/query?case=a+b", 200)) == (serial, None)
