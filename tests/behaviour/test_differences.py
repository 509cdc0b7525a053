# SPDX-License-Identifier: EUPL-1.2
"""What `policy diff`, `who-can` and `what-can` say, held to brute force: invented bundles of few words, so that what they
say meets often, and as many requests of the same words, each judged by the gateway's code."""

import json
import random
import subprocess

import pytest

from slow_policy import matches, segments_of
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
         lambda r: f'session.age {r.choice(["<", ">=", "=="])} duration("{r.choice(["60s", "1h"])}")',
         lambda r: f'session.authentication_age < duration("{r.choice(["500ms", "60s"])}")',
         lambda r: f'"{r.choice(["pwd", "otp"])}" in session.methods',
         lambda r: "has(session.authentication_age)",
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
                out["session"] = {"age": self.random.choice([0, 59, 60, 61, 3600, 7200]),
                                  "methods": [m for m in ("pwd", "otp") if self.maybe()]}
                out["session"] |= {"authentication_age": self.random.choice([0, 1, 59, 60])} if self.maybe() else {}
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


def bundle(rules, app="desk", device="optional", has_people=True):
    head = HEAD.replace("APP", app).replace("DEVICE", device)
    if not has_people:
        head = head.replace("    identity_providers: [fas]\n", "")
    return head + "".join(entry(rule, "      ") for rule in rules)


def who_come(request, device, has_people):
    """What of them an application has that asks for no certificate, or takes nobody's word for people."""
    gone = {"device", "service"} if device == "none" else set()
    gone |= set() if has_people else {"user", "session"}
    return {name: value for name, value in request.items() if name not in gone}


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
        facts = out.setdefault(root, {"age": 0} if root == "session" else {fact: ANOTHER for fact in ALWAYS_THERE[root]})
        facts |= {name: int(value[:-1]) if value[-1] == "s" else json.loads(value)} if name else {}
    return out


def class_of(before, after):
    """As diff has it; None: both say the same."""
    if before.get("permit") == after.get("permit"):
        return None
    permit, deny = (after, before) if after.get("permit") else (before, after)
    return ("permit" if after["permit"] else "deny", permit["rule"], "" if deny["reason"] == "denied" else deny["rule"], deny["reason"])


def without_one(request):
    """The request with each fact of it gone, one at a time."""
    for root in ("user", "device", "service", "session"):
        if root not in request:
            continue
        yield {name: value for name, value in request.items() if name not in (root, "session" if root == "user" else root)}
        for name, value in request[root].items():
            for less in [[one for one in value if one != gone] for gone in value] if isinstance(value, list) else [
                    0 if name == "age" else ANOTHER if name in ALWAYS_THERE.get(root, ()) else None]:
                if less != value:
                    rest = {other: kept for other, kept in request[root].items() if other != name}
                    yield request | {root: rest | ({name: less} if less is not None else {})}


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
    shown = [(name, request_of(one)) for name, one in names.items()]
    # Of what can't be looked into, a smaller one may have been missed.
    smaller = [(name, less) for name, request in shown if invent.is_exact for less in without_one(request)]
    answers = zip(*(case.judge(asked + [request for _, request in shown + smaller]) for case in cases))
    for request in asked:
        seen = class_of(*next(answers))
        verdicts["shown"] = verdicts.get("shown", 0) + (seen is not None)
        assert seen is None or seen in names or doubts, (seed, seen, request, told)
    for name, request in shown:
        assert class_of(*next(answers)) == name, (seed, name, request, told)
    for name, request in smaller:
        assert class_of(*next(answers)) != name, (seed, name, request, told)
    assert not (doubts and invent.is_exact and apps[0] == apps[1]), (seed, told)


def hold_who_can(folder, seed, people, counts):
    """Whoever is let in is let in by a rule that is told, and whoever is kept out by one that is; nobody is nobody."""
    invent = Invention(seed)
    rules, baseline = invent.rules(), invent.baseline() if invent.maybe(0.4) else []
    door = invent.random.choice(["optional", "required", "none"]), invent.maybe(0.9)
    case = Case(folder, "bundle", bundle(rules, "desk", *door), baseline)
    # Where nobody can sign in, or no certificate is asked for, the gateway asks for it in vain.
    in_vain = {"denied"} | (set() if door[0] != "none" and door[1] else {"identity_required", "device_required"})
    for _ in range(4):
        asked = invent.request()
        told = policy("who-can", "desk", asked["method"], asked["path"], case.path, *case.more)
        if told is None:
            return
        listed = {rule["rule"]: rule for rule in told["rules"]}
        crowd = [invent.request() | {name: asked[name] for name in ("method", "path")} for _ in range(people)]
        crowd = [who_come(one, *door) for one in crowd if not told["device_demanded"] or "device" in one or "service" in one]
        for one, said in zip(crowd, case.judge(crowd)):
            counts[said["reason"]] = counts.get(said["reason"], 0) + 1
            assert told["somebody_can"] or not said["permit"], (seed, told, one, said)
            assert said["reason"] in in_vain or said["rule"] in listed, (seed, told, one, said)
            assert not said["permit"] or not listed[said["rule"]]["never"], (seed, told, one, said)
        counts["nobody"] = counts.get("nobody", 0) + (not told["somebody_can"])


def fits(rule, request):
    return request["method"] in rule.get("methods", [request["method"]]) and (
        "paths" not in rule or any(matches(pattern, segments_of(request["path"]), False) for pattern in rule["paths"]))


def hold_what_can(folder, seed, requests, counts):
    """What is told of a person is so of everybody like that: a hit holds for each, and what is not told for none."""
    invent = Invention(seed)
    rules, baseline = invent.rules(), invent.baseline() if invent.maybe(0.4) else []
    door = invent.random.choice(["optional", "optional", "none"]), invent.maybe(0.9)
    case = Case(folder, "bundle", bundle(rules, "desk", *door), baseline)
    for _ in range(3):
        person = invent.request()
        options, known = [], {}
        for root, name, option in (("user", "groups", "--groups"), ("user", "scopes", "--scopes"), ("user", "acr_level", "--level"),
                                   ("user", "id", "--user"), ("device", "trust", "--device"), ("service", "id", "--service")):
            if root in person and (root != "user" or invent.maybe(0.6)):
                value = person[root][name]
                known.setdefault(root, {})[name] = value
                options += [option, ",".join(value) if isinstance(value, list) else value]
        told = policy("what-can", case.path, *options, *case.more)
        if told is None:
            return
        marks = {rule["rule"]: rule["mark"] for rule in told[0]["rules"]}
        crowd = []
        for _ in range(requests):
            other = invent.request()
            full = {root: facts | invent.request().get(root, {}) for root, facts in person.items() if root in known}
            crowd.append(who_come({name: other[name] for name in ("method", "path", "now")} | {
                root: facts | known[root] for root, facts in full.items()} | (
                {"session": other["session"]} if "user" in full and "session" in other else {}), *door))
        for one, said in zip(crowd, case.judge(crowd)):
            why = (seed, options, told, one, said)
            counts[said["reason"]] = counts.get(said["reason"], 0) + 1
            assert not said["permit"] or said["rule"] in marks, why
            for rule in rules + [rule for rule in baseline if rule["effect"] == "forbid"]:
                if marks.get(rule["id"]) != "hit" or not fits(rule, one):
                    continue
                counts["hits"] = counts.get("hits", 0) + 1
                assert rule["effect"] == "permit" or not said["permit"], why
                assert rule["effect"] == "forbid" or said["permit"] or said["rule"] in marks, why
            if marks and said["reason"] == "forbidden":
                assert said["rule"] in marks, why


def hold_all(hold, folder, seeds, requests):
    verdicts = {}
    for seed in seeds:
        hold(folder, seed, requests, verdicts)
    return verdicts


@pytest.fixture(scope="module", autouse=True)
def judge():
    assert JUDGE.exists(), f"{JUDGE} is not built: ./dev test builds it"


def test_diff_says_what_invented_requests_show(tmp_path):
    verdicts = hold_all(hold_diff, tmp_path, range(80), 200)
    assert verdicts["same"] > 10 and verdicts["differs"] > 30 and verdicts["shown"] > 500, verdicts


@pytest.mark.long
def test_diff_says_what_very_many_invented_requests_show(tmp_path):
    verdicts = hold_all(hold_diff, tmp_path, range(1000, 4000), 400)
    print(verdicts)
    assert verdicts["same"] > 200, verdicts


def test_who_can_names_whoever_is_let_in_or_kept_out(tmp_path):
    counts = hold_all(hold_who_can, tmp_path, range(75), 60)
    assert counts["permitted"] > 300 and counts["forbidden"] > 500 and counts["nobody"] > 20, counts


def test_what_can_says_what_is_so_of_everybody_like_that(tmp_path):
    counts = hold_all(hold_what_can, tmp_path, range(50), 60)
    assert counts["permitted"] > 300 and counts["hits"] > 500, counts


@pytest.mark.long
@pytest.mark.parametrize("hold", [hold_who_can, hold_what_can])
def test_very_many_people(hold, tmp_path):
    print(hold_all(hold, tmp_path, range(1000, 4000), 100))
