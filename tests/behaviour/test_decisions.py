# SPDX-License-Identifier: EUPL-1.2
"""Decisions by the gateway's index, beside those of a slow and obvious evaluator, on generated policies and requests; and
what must be so of all policies: the order of rules never matters, a forbid never permits, a permit never forbids, nothing
beats the baseline, and what is missing never helps."""

import concurrent.futures
import json
import os
import random
import re
import subprocess

import pytest

from slow_policy import Policy
from world import BELFRY

JUDGE = BELFRY.parent / "bench_judge"
HEAD = """\
belfry: entity/v1
entity: e
serial: 1
not_after: 2036-01-01T00:00:00Z
identity_providers:
  - id: fas
    issuer: https://idp.localhost
    audiences: [x]
applications:
  - id: desk
    host: desk.localhost
    device: optional
    identity_providers: [fas]
    upstreams: ["http://127.0.0.1:9001"]
"""
PATHS = ["/", "/**", "/a", "/a/", "/a/**", "/a/b", "/A/{x}", "/*/b", "/a/*/**", "/x-*", "/*-1/b", "/a/x-*/c", "/{x}/{y}",
         "/a/b/c", "/\u00e9", "/\u00c9/**", "/{x}/b", "/a/{x}", "/{x}/{y}/**", "/b/**", "/b",
         "/{y}/{x}", "/a/{y}", "/{x}/**"]
SEGMENTS = ["a", "b", "A", "c", "x-1", "\u00e9", "\u00c9", "z-1", "B", "%61", "x-1"]
ATOMS = ["'tax' in user.groups", "'audit' in user.groups", "'nobody' in user.groups", "'suspended' in user.groups",
         "device.trust == 'managed'", "'managed' == device.trust", "user.acr == 'high'", "has(user.acr)",
         "user.id in ['fas:1', 'fas:2']", "user.id == 'fas:1'", "'read' in user.scopes", "service.id == 'robot'",
         "'finance' in device.organizational_units", "device.common_name.startsWith('lap')", "request.method == 'GET'",
         "request.path.endsWith('b')", "user.groups.exists(g, g.startsWith('t'))", "user.groups.all(g, g != 'suspended')",
         "size(user.groups) < 2", "user.id.contains('2')", "device.trust != 'private'", "true", "false",
         "session.age < duration('30s')", "session.authentication_age <= duration('20s')", "has(session.authentication_age)",
         "'otp' in session.methods", "session.age >= duration('31s')",
         "user.id in ['fas:1', 'fas:2', 'fas:3', 'fas:4', 'fas:5', 'fas:6', 'fas:7', 'fas:8', 'fas:9']"]
LEVELS = [f"user.acr_level {sign} {level}" for sign in (">=", ">") for level in (200, 300, 400, 450)]


def some_condition(draw, depth=0, levels=True):
    """`levels`: may ask for an assurance level, never in a way in which a higher one is worse."""
    kind = draw.random()
    if depth > 2 or kind < 0.5:
        return draw.choice(LEVELS) if levels and draw.random() < 0.2 else draw.choice(ATOMS)
    if kind < 0.55:
        return f"!({some_condition(draw, depth + 1, False)})"
    if kind < 0.6:
        return (f"({some_condition(draw, depth + 1, False)} ? {some_condition(draw, depth + 1, levels)} : "
                f"{some_condition(draw, depth + 1, levels)})")
    sign = draw.choice([" && ", " && ", " || "])
    return "(" + sign.join(some_condition(draw, depth + 1, levels) for _ in range(draw.randint(2, 3))) + ")"


def naming_segments(draw, text, paths):
    """The condition, and something about a segment that one of the patterns has a name for."""
    names = re.findall(r"{(\w+)}", " ".join(paths))
    if not names or draw.random() < 0.4:
        return text
    name = draw.choice(names)
    atom = draw.choice([f"path.{name} == 'b'", f"path.{name} in user.groups", f"path.{name} in ['a', 'c', 'tax']",
                        f"path.{name}.startsWith('x-')", f"has(path.{name})", f"path.{name} != 'a'",
                        f"(has(path.{name}) ? path.{name} : 'b') == 'b'", f"path.{name}.contains(';')"])
    return draw.choice([f"{atom} && {text}", f"{text} || {atom}", f"{text} && {atom}", atom])


def some_rule(draw, name, effect=None, paths=None, condition=None, requires=False):
    effect = effect or draw.choice(["permit", "permit", "permit", "forbid"])
    lines = [f"      - id: {name}"]
    what, chosen = [], []
    if not requires and draw.random() < 0.5:
        what.append(f"          methods: [{', '.join(draw.sample(['GET', 'POST', 'PUT', 'PROPFIND'], draw.randint(1, 2)))}]")
    if not requires and draw.random() < 0.8:
        chosen = paths or draw.sample(PATHS, draw.choice([1, 1, 1, 2, 3]))
        what.append(f"          paths: [{', '.join(json.dumps(path, ensure_ascii=False) for path in chosen)}]")
    lines += [f"        {effect}:", *what] if what else [f"        {effect}: {{}}"]
    if requires or draw.random() < 0.85:
        text = naming_segments(draw, (condition or some_condition)(draw), chosen).replace("'", "''")
        lines.append(f"        when: '{text}'")
    if effect == "permit" and draw.random() < 0.4:
        lines.append("        remedy: step_up")
    if draw.random() < 0.1:
        lines.append("        mode: shadow")
    if draw.random() < 0.15:
        lines.append(f"        expires: 1970-01-01T00:01:{draw.choice([39, 40, 41])}Z")
    return "\n".join(lines) + "\n"


def document(rules, options=""):
    return HEAD + options + ("    rules:\n" + "".join(rules) if rules else "    rules: []\n")


def some_options(draw):
    options = [line for line, share in (("case: fold", 0.3), ("encoded_slash: allow", 0.2), ("parameters: allow", 0.3),
                                        ("empty_segments: allow", 0.2)) if draw.random() < share]
    return "    paths:\n" + "".join(f"      {line}\n" for line in options) if options else ""


def some_rules(draw):
    """Mostly a few; now and then so many on one path that they are found by what they ask for."""
    if draw.random() < 0.25:
        path = [draw.choice(PATHS)]
        return [some_rule(draw, f"r{i}", paths=path if draw.random() < 0.9 else None,
                          condition=lambda draw: " && ".join(draw.sample(ATOMS[:13] + LEVELS, draw.randint(1, 3))))
                for i in range(draw.randint(16, 60))]
    return [some_rule(draw, f"r{i}") for i in range(draw.randint(0, 12))]


def some_baseline(draw):
    rules = [some_rule(draw, f"b{i}", effect="permit", requires=True) for i in range(draw.randint(0, 2))]
    return rules + [some_rule(draw, f"f{i}", effect="forbid") for i in range(draw.randint(0, 2))]


def some_request(draw, options):
    segments = [draw.choice(SEGMENTS) for _ in range(draw.choice([0, 1, 1, 2, 2, 2, 3, 4]))]
    for i in range(len(segments)):
        if "parameters" in options and draw.random() < 0.2:
            segments[i] += draw.choice([";p", ";", ";a=b"])
        if "encoded_slash" in options and draw.random() < 0.2:
            segments[i] += draw.choice(["%2Fb", "%2F", "%2fa"])
        if "empty_segments" in options and i + 1 < len(segments) and draw.random() < 0.1:
            segments[i] = ""
    path = "/" + "/".join(segments) + ("/" if segments and draw.random() < 0.1 else "")
    user = {"id": draw.choice(["fas:1", "fas:2", "fas:3"]), "acr": draw.choice(["high", "low", ""]),
            "groups": draw.sample(["tax", "audit", "suspended", "x"], draw.randint(0, 3)),
            "scopes": draw.choice([[], ["read"], ["write", "read"]]), "acr_level": draw.choice([0, 200, 300, 400, 500])}
    device = {"id": "laptops:1", "trust": draw.choice(["managed", "private"]), "common_name": draw.choice(["laptop", ""]),
              "organizational_units": draw.choice([[], ["finance"], ["x", "finance"]])}
    user = user if draw.random() < 0.75 else None
    session = {"age": draw.choice([0, 29, 30, 31]), "methods": draw.choice([[], ["pwd"], ["pwd", "otp"]]),
               **({"authentication_age": draw.choice([19, 20, 21])} if draw.random() < 0.7 else {})}
    return {"method": draw.choice(["GET", "POST", "PUT", "PROPFIND"]), "path": path.replace("\u00e9", "%C3%A9")
            .replace("\u00c9", "%C3%89"), "now": draw.choice([99, 100, 101]), "user": user,
            "session": session if user and draw.random() < 0.7 else None, "device": device if draw.random() < 0.7 else None,
            "service": {"id": draw.choice(["robot", "other"])} if draw.random() < 0.3 else None}


def judged(cases):
    """What the gateway's code says: a list of decisions for each (bundle, baseline, requests)."""
    lines = []
    for bundle, baseline, requests in cases:
        lines.append(json.dumps({"bundle": bundle, **({"baseline": baseline} if baseline else {})}))
        lines += [json.dumps(request) for request in requests]
    done = subprocess.run([JUDGE], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    answers = iter(json.loads(line) for line in done.stdout.splitlines())
    return [[next(answers) for _ in requests] for _, _, requests in cases]


def some_case(draw, requests):
    options = some_options(draw)
    baseline = document(some_baseline(draw)) if draw.random() < 0.5 else None
    return document(some_rules(draw), options), baseline, [some_request(draw, options) for _ in range(requests)]


def compare(seed, policies, requests):
    """How many were compared, how often each reason was met, and the first difference."""
    draw = random.Random(seed)
    count, met = 0, {}
    for _ in range(policies // 10):
        cases = [some_case(draw, requests) for _ in range(10)]
        for (bundle, baseline, asked), answers in zip(cases, judged(cases)):
            slow = Policy(bundle, baseline)
            for request, quick in zip(asked, answers):
                if "refused" in quick:
                    continue
                count += 1
                said = slow.judge(request)
                met[said["reason"]] = met.get(said["reason"], 0) + 1
                met["shadow"] = met.get("shadow", 0) + bool(said["shadow"])
                met["baseline"] = met.get("baseline", 0) + said["baseline"]
                wrong = {key: (said[key], quick[key]) for key in quick if said[key] != quick[key]}
                if wrong:
                    return count, met, f"seed {seed}: {wrong} (slow, quick)\n{json.dumps(request)}\n{bundle}\n{baseline}"
    return count, met, None


def compare_all(policies, requests):
    workers = os.cpu_count() or 1
    with concurrent.futures.ProcessPoolExecutor(workers) as pool:
        results = list(pool.map(compare, range(workers), [policies // workers] * workers, [requests] * workers))
    assert not [wrong for _, _, wrong in results if wrong], next(wrong for _, _, wrong in results if wrong)
    met = {name: sum(met.get(name, 0) for _, met, _ in results) for _, met, _ in results for name in met}
    return sum(count for count, _, _ in results), met


@pytest.fixture(scope="module", autouse=True)
def judge():
    assert JUDGE.exists(), f"{JUDGE} is not built: ./dev test builds it"


def test_decisions_are_those_of_the_slow_evaluator():
    count, met = compare_all(200, 100)
    print(count, met)
    assert count > 15000
    assert set(met) == {"permitted", "denied", "forbidden", "identity_required", "device_required", "assurance_too_low",
                        "shadow", "baseline"} and min(met.values()) > 100, met


@pytest.mark.long
def test_a_million_decisions_are_those_of_the_slow_evaluator():
    count, met = compare_all(3000, 400)
    print(count, met)
    assert count >= 1000000


# --- what is so of all policies


def pairs(seed, change, policies=60, requests=60, options=some_options):
    """(before, after, request) of decisions on generated policies, and on what `change` makes of them:
    change(draw, rules, baseline rules, requests) gives new ones of the three."""
    draw = random.Random(seed)
    before, after = [], []
    for _ in range(policies):
        opened = options(draw)
        rules, baseline = some_rules(draw), some_baseline(draw)
        asked = [some_request(draw, opened) for _ in range(requests)]
        before.append((document(rules, opened), document(baseline), asked))
        new_rules, new_baseline, new_asked = change(draw, rules, baseline, asked)
        after.append((document(new_rules, opened), document(new_baseline), new_asked))
    out = [(old, new, request)
           for olds, news, case in zip(judged(before), judged(after), before) for old, new, request in zip(olds, news, case[2])
           if "refused" not in old and "refused" not in new]
    assert len(out) > policies * requests * 0.8
    return out


def test_the_order_of_rules_never_matters():
    def shuffle(draw, rules, baseline, asked):
        return draw.sample(rules, len(rules)), draw.sample(baseline, len(baseline)), asked

    for old, new, request in pairs(1, shuffle):
        assert (old["permit"], old["reason"], bool(old["shadow"])) == (new["permit"], new["reason"], bool(new["shadow"])), request


def test_one_more_forbid_never_permits():
    def add(draw, rules, baseline, asked):
        return [*rules, some_rule(draw, "more", effect="forbid")], baseline, asked

    found = pairs(2, add)
    assert not [request for old, new, request in found if new["permit"] and not old["permit"]]
    assert [request for old, new, request in found if old["permit"] and not new["permit"]], "it changed nothing at all"


def test_one_more_permit_never_forbids():
    def add(draw, rules, baseline, asked):
        return [*rules, some_rule(draw, "more", effect="permit")], baseline, asked

    found = pairs(3, add)
    assert not [request for old, new, request in found if old["permit"] and not new["permit"]]
    assert [request for old, new, request in found if new["permit"] and not old["permit"]], "it changed nothing at all"


def test_no_rule_of_an_entity_beats_the_baseline():
    """Whatever the baseline keeps from an application that permits everything, it keeps from every application."""
    def open_all(draw, rules, baseline, asked):
        return ["      - id: all\n        permit: {}\n"], baseline, asked

    found = pairs(4, open_all)
    assert not [request for old, new, request in found if old["permit"] and not new["permit"]]
    assert [request for old, new, request in found if not new["permit"]], "the baseline forbade nothing at all"


def test_what_is_missing_never_helps():
    """A fact that is not there makes no permit; `has` alone may ask whether it is."""
    def without(draw, rules, baseline, asked):
        def lose(request):
            request = dict(request)
            root = draw.choice(["user", "device", "service", "session"])
            part = request[root]
            texts = [name for name in part or () if isinstance(part[name], str)]
            if texts and draw.random() < 0.5:
                request[root] = {**part, draw.choice(texts): ""}
            elif "authentication_age" in (part or ()) and draw.random() < 0.5:
                request[root] = {name: part[name] for name in part if name != "authentication_age"}
            else:
                request[root] = None
            return request if request["user"] else {**request, "session": None}

        return rules, baseline, [lose(request) for request in asked]

    kept, ATOMS[:] = ATOMS[:], [atom for atom in ATOMS if "has(" not in atom]
    try:
        found = pairs(5, without)
    finally:
        ATOMS[:] = kept
    assert not [request for old, new, request in found if new["permit"] and not old["permit"]]
    assert [request for old, new, request in found if old["permit"] and not new["permit"]], "nothing was missed at all"
