# SPDX-License-Identifier: EUPL-1.2
"""What `policy diff`, `who-can` and `what-can` say, held to brute force: invented bundles of few words, so that what they
say meets often, and as many requests of the same words, each judged by the gateway's code."""

import json
import random
import subprocess

import pytest

from test_decisions import JUDGE
from world import BELFRY

HOST = "desk.localhost"
HEAD = """\
belfry: entity/v1
entity: e
serial: 1
not_after: 2036-01-01T00:00:00Z
sets: { people: ["fas:1", "fas:2"] }
identity_providers:
  - id: fas
    issuer: https://idp.localhost
    audiences: [x]
applications:
  - id: APP
    host: desk.localhost
    device: DEVICE
    identity_providers: [fas]
    upstreams: ["http://127.0.0.1:9001"]
    rules:
"""
ANOTHER = "(another)"
ALWAYS_THERE = {"user": ["id", "subject", "provider"], "service": ["id"],
                "device": ["id", "certificate", "authority", "trust", "serial", "issuer", "key_type"]}
PATHS = ["/", "/a", "/a/", "/a/**", "/a/{x}", "/{x}", "/{x}/b", "/a*/b", "/*c", "/a*c", "/**", "/a/b", "/x*", "/{x}/{y}", "/x/**"]
SEGMENTS = ["a", "b", "c", "x", "ab", "ac", "xc", "azc", "zz"]
METHODS = ["GET", "POST", "PURGE"]
LEVELS = [0, 199, 200, 201, 299, 300, 301]
# What can be looked into wholly.
EXACT = [lambda r: f'"{r.choice("gh")}" in user.groups',
         lambda r: f'"{r.choice("rs")}" in user.scopes',
         lambda r: f'device.trust {r.choice(["==", "!="])} "{r.choice(["managed", "own"])}"',
         lambda r: f'device.owner {r.choice(["==", "!="])} "{r.choice(["fas:1", "x"])}"',
         lambda r: f"user.acr_level {r.choice(['>=', '<', '==', '!='])} {r.choice([0, 200, 300])}",
         lambda r: f"has({r.choice(['user.client_id', 'user.acr', 'device.owner', 'device.compliant'])})",
         lambda r: f'user.client_id in {r.choice([["a", "b"], ["c"]])}'.replace("'", '"'),
         lambda r: r.choice(["device.compliant", "device.compliant == false", "device.compliant != true"]),
         lambda r: f'user.id {r.choice(["in sets.people", "==" + chr(34) + "fas:1" + chr(34)])}',
         lambda r: f'service.id == "{r.choice("st")}"',
         lambda r: f'app.id {r.choice(["==", "!="])} "desk"']
# What can't be.
BEYOND = [lambda r: f'user.subject.startsWith("{r.choice("st")}")',
          lambda r: f"size(user.groups) {r.choice(['<', '>'])} 1",
          lambda r: f'user.groups.exists(g, g == "{r.choice("gh")}")',
          lambda r: f'request.path.endsWith("{r.choice("ab")}")',
          lambda r: f'request.method == "{r.choice(METHODS)}"',
          lambda r: 'user.id == "fas:" + user.subject',
          lambda r: f'device.owner.contains("{r.choice("fx")}")',
          lambda r: "device.owner == user.id"]


class Invention:
    """Half of the bundles are of conditions that can be looked into wholly."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.is_exact = seed % 2 == 0
        self.atoms = EXACT if self.is_exact else EXACT + BEYOND

    def some(self, words, most):
        return self.random.sample(words, self.random.randint(1, most))

    def maybe(self, share=0.5):
        return self.random.random() < share

    def condition(self, depth=0):
        pick = self.random.random()
        if depth < 2 and pick < 0.45:
            joined = self.random.choice([" && ", " || "]).join(f"({self.condition(depth + 1)})" for _ in range(2))
            return joined if pick < 0.35 else f"!({joined})"
        if depth < 2 and pick < 0.5:
            return " ".join(f"({self.condition(depth + 1)}) {sign}" for sign in "?:") + f" ({self.condition(depth + 1)})"
        return self.random.choice(self.atoms)(self.random)

    def rule(self, name, effect=None):
        rule = {"id": name, "effect": effect or ("permit" if self.maybe(0.65) else "forbid")}
        rule |= {"methods": self.some(METHODS, 2)} if self.maybe() else {}
        rule |= {"paths": self.some(PATHS, 2)} if self.maybe(0.8) else {}
        rule |= {"when": self.condition()} if self.maybe(0.85) or len(rule) == 2 else {}
        return rule | ({"remedy": "step_up"} if rule["effect"] == "permit" and self.maybe(0.3) else {})

    def rules(self):
        return [self.rule(f"r{number}") for number in range(self.random.randint(1, 4))]

    def changed(self, rules):
        at = self.random.randrange(len(rules))
        return self.random.choice([rules[:at] + rules[at + 1:], rules[:at] + [self.rule(f"n{at}")] + rules[at + 1:], rules[::-1],
                                   [*rules, self.rule("n9")], self.rules()]) or [self.rule("n0")]

    def baseline(self):
        required = [{"id": "b", "effect": "require", "when": self.condition()} | (
            {"remedy": "step_up"} if self.maybe() else {}) for _ in range(self.maybe(0.4))]
        return required + [self.rule("f", "forbid") for _ in range(self.maybe(0.4))]

    def request(self):
        segments = [self.random.choice(SEGMENTS) for _ in range(self.random.choice([0, 1, 1, 2, 2, 3]))]
        out = {"method": self.random.choice([*METHODS, "PUT", "OTHER"]), "now": 2000000000,
               "path": "/" + "/".join(segments) + ("/" if segments and self.maybe(0.15) else "")}
        if self.maybe(0.8):
            subject = self.random.choice(["1", "2", "s", "t"])
            out["user"] = {"id": f"fas:{subject}", "subject": subject, "provider": "fas", "groups": [g for g in "gh" if self.maybe()],
                           "scopes": [s for s in "rs" if self.maybe()], "acr_level": self.random.choice(LEVELS),
                           "client_id": self.random.choice(["", *"abcd"]), "acr": self.random.choice(["", "x"])}
        if self.maybe(0.7):
            out["device"] = {name: "x" for name in ALWAYS_THERE["device"]} | {
                "trust": self.random.choice(["managed", "own", "other"]), "owner": self.random.choice(["", "fas:1", "x", "y"])}
            out["device"] |= self.random.choice([{}, {"compliant": True}, {"compliant": False}])
        if self.maybe(0.3):
            out["service"] = {"id": self.random.choice("stu")}
        return out


def entry(rule, margin):
    what = {name: rule[name] for name in ("methods", "paths") if name in rule}
    lines = [f"- id: {rule['id']}"]
    lines += [f"  {rule['effect']}: {json.dumps(what)}"] if rule["effect"] != "require" else []
    lines += ["  when: '" + rule["when"].replace("'", "''") + "'"] if "when" in rule else []
    lines += ["  remedy: step_up"] if "remedy" in rule else []
    return "".join(f"{margin}{line}\n" for line in lines)


def bundle(rules, app="desk", device="optional"):
    return HEAD.replace("APP", app).replace("DEVICE", device) + "".join(entry(rule, "      ") for rule in rules)


def charter(rules):
    """The baseline as a charter."""
    why = "      reason: { nl: w, fr: w, de: w, en: w }\n"
    lists = {"require": "", "forbid": ""}
    for rule in rules:
        text = entry(rule, "    ")
        if rule["effect"] == "forbid":
            what = "".join(f"      {name}: {json.dumps(rule[name])}\n" for name in ("methods", "paths") if name in rule)
            text = "".join(line for line in text.splitlines(True) if not line.startswith("      forbid:")) + what
        lists[rule["effect"]] += text + why
    return "belfry: charter/v1\nserial: 1\nnot_after: 2036-01-01T00:00:00Z\nbaseline:\n" + "".join(
        f"  {name}:\n{text}" for name, text in lists.items() if text) + "entities: []\n"


def as_bundle(baseline):
    """The same as bench_judge takes it: requirements are permits."""
    return bundle([rule | ({"effect": "permit"} if rule["effect"] == "require" else {}) for rule in baseline])


class Case:
    """A bundle, perhaps with a baseline, as files and for the judge."""

    def __init__(self, folder, name, text, baseline):
        self.path, self.charter = folder / f"{name}.yaml", folder / "charter.yaml"
        self.path.write_text(text)
        self.law = {"bundle": text} | ({"baseline": as_bundle(baseline)} if baseline else {})
        if baseline:
            self.charter.write_text(charter(baseline))
        self.more = ["--charter", self.charter] if baseline else []

    def judge(self, requests):
        lines = "\n".join(map(json.dumps, [self.law, *requests])) + "\n"
        done = subprocess.run([JUDGE], input=lines, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def policy(*words):
    done = subprocess.run([BELFRY, "policy", *map(str, words), "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1, 3, 4), (words, done.stdout, done.stderr)
    return None if done.returncode == 3 else json.loads(done.stdout)  # 3: a condition that says nothing is no bundle


def request_of(told):
    """The request of a class, from what is told of it."""
    method, path = told["request"].split(" ", 1)
    out = {"method": method, "path": path, "now": 2000000000}
    for words in told["facts"]:
        if words.startswith("some "):
            root, name, value = words[5:], None, None
        else:
            name, value = words.split(" = ", 1)
            root, name = name.split(".")
        facts = out.setdefault(root, {fact: ANOTHER for fact in ALWAYS_THERE[root]})
        facts |= {name: json.loads(value)} if name else {}
    return out


def class_of(before, after):
    """As diff has it; None: both say the same."""
    if before.get("permit") == after.get("permit"):
        return None
    permit, deny = (after, before) if after.get("permit") else (before, after)
    return ("permit" if after["permit"] else "deny", permit["rule"], "" if deny["reason"] == "denied" else deny["rule"], deny["reason"])


def without_one(request):
    """The request with each fact of it gone, one at a time."""
    for root in ("user", "device", "service"):
        if root not in request:
            continue
        yield {name: value for name, value in request.items() if name != root}
        for name, value in request[root].items():
            for less in [[one for one in value if one != gone] for gone in value] if isinstance(value, list) else [
                    ANOTHER if name in ALWAYS_THERE[root] else None]:
                if less != value:
                    yield request | {root: {k: v for k, v in request[root].items() if k != name} | ({name: less} if less is not None else {})}


def hold_diff(folder, seed, requests, verdicts):
    """Whatever requests show, diff has said; what it says is so; and where it can tell, it tells."""
    invent = Invention(seed)
    rules, baseline = invent.rules(), invent.baseline() if invent.maybe(0.4) else []
    apps = ["desk", invent.random.choice(["desk"] * 9 + ["counter"])]
    cases = [Case(folder, name, bundle(of, app), baseline)
             for name, of, app in zip(("old", "new"), (rules, invent.changed(rules)), apps)]
    told = policy("diff", *(case.path for case in cases), *cases[0].more)
    if told is None:
        return
    verdicts[told["verdict"]] = verdicts.get(told["verdict"], 0) + 1
    classes = [c for a in told["applications"] for c in a["classes"]]
    names = {(c["becomes"], c["permit_rule"], c["deny_rule"], c["deny_reason"]): c for c in classes}
    doubts = told["authorities_differ"] or any(a["doubts"] for a in told["applications"])
    asked = [invent.request() for _ in range(requests)]
    answers = list(zip(*(case.judge(asked) for case in cases)))
    for request, pair in zip(asked, answers):
        seen = class_of(*pair)
        verdicts["shown"] = verdicts.get("shown", 0) + (seen is not None)
        assert seen is None or seen in names or doubts, (seed, seen, request, told)
    assert not (doubts and invent.is_exact and apps[0] == apps[1]), (seed, told)
    for name, one in names.items():
        example = request_of(one)
        assert class_of(*(case.judge([example])[0] for case in cases)) == name, (seed, one)
        if not invent.is_exact:
            continue  # of what can't be looked into, a smaller one may have been missed
        smaller = list(without_one(example))
        found = [request for request, *pair in zip(smaller, *(case.judge(smaller) for case in cases)) if class_of(*pair) == name]
        assert not found, (seed, one, found)


def hold_all(hold, folder, seeds, requests):
    verdicts = {}
    for seed in seeds:
        hold(folder, seed, requests, verdicts)
    return verdicts


@pytest.fixture(scope="module", autouse=True)
def judge():
    assert JUDGE.exists(), f"{JUDGE} is not built: ./dev test builds it"


def test_diff_says_what_invented_requests_show(tmp_path):
    verdicts = hold_all(hold_diff, tmp_path, range(150), 200)
    assert verdicts["same"] > 10 and verdicts["differs"] > 60 and verdicts["shown"] > 1000, verdicts


@pytest.mark.long
def test_diff_says_what_very_many_invented_requests_show(tmp_path):
    verdicts = hold_all(hold_diff, tmp_path, range(1000, 4000), 400)
    print(verdicts)
    assert verdicts["same"] > 200, verdicts
