#!/usr/bin/python3
# SPDX-License-Identifier: EUPL-1.2
"""Decisions beside Cedar on the same policy and the same requests, in one run, with the same answers.

Cedar is its own build for WebAssembly, from npm into build/bench/engines; node and npm have to be there. What each engine is
given is its own form of one policy: rules with methods, paths, a group, a level and a device. Both have it parsed before
anything is measured; both are asked in turn, `--rounds` times, and the least and the median of the rounds are told."""

import argparse
import json
import pathlib
import random
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
JUDGE = ROOT / "build/release/bench_judge"
MODULES = ROOT / "build/bench/engines"
CEDAR = "@cedar-policy/cedar-wasm"
HEAD = """\
belfry: entity/v1
entity: e
serial: 1
not_after: 2036-01-01T00:00:00Z
identity_providers: [{ id: fas, issuer: https://idp.localhost, audiences: [x] }]
applications:
  - id: desk
    host: desk.localhost
    device: optional
    identity_providers: [fas]
    upstreams: ["http://127.0.0.1:9001"]
    rules:
"""


def rules_of(count):
    """(effect, methods, area, group, level, needs a managed device); every tenth forbids."""
    return [("forbid" if i % 10 == 9 else "permit", ["GET"] if i % 2 else ["GET", "POST"], f"area{i // 5}",
             f"group{i % 50}", (200, 300, 400)[i % 3], i % 4 == 0) for i in range(count)]


def as_bundle(rules):
    out = []
    for i, (effect, methods, area, group, level, managed) in enumerate(rules):
        when = f'"{group}" in user.groups' if effect == "permit" else f'"not-{group}" in user.groups'
        when += f" && user.acr_level >= {level}" + (' && device.trust == "managed"' if managed else "")
        out.append(f"      - {{ id: r{i}, {effect}: {{ methods: [{', '.join(methods)}], paths: [\"/{area}/**\"] }}, when: '{when}' }}\n")
    return HEAD + "".join(out)


def as_cedar(rules):
    out = []
    for effect, methods, area, group, level, managed in rules:
        actions = ", ".join(f'Action::"{method}"' for method in methods)
        name = group if effect == "permit" else f"not-{group}"
        out.append(f'{effect}(principal in Group::"{name}", action in [{actions}], resource in Area::"{area}")\n'
                   f"when {{ principal.acr_level >= {level}" + (' && context.trust == "managed"' if managed else "") + " };\n")
    return "".join(out)


def requests_of(rules, count):
    draw = random.Random(1)
    out = []
    for _ in range(count):
        rule = draw.choice(rules)
        groups = [rule[3], f"group{draw.randrange(50)}", "staff"] + ([f"not-{rule[3]}"] if draw.random() < 0.1 else [])
        out.append({"method": draw.choice(["GET", "POST"]), "path": f"/{rule[2]}/file{draw.randrange(1000)}", "area": rule[2],
                    "groups": groups, "level": draw.choice([200, 300, 400]), "trust": draw.choice(["managed", "private"])})
    return out


def for_judge(request):
    return {"method": request["method"], "path": request["path"], "now": 0,
            "user": {"id": "fas:1", "groups": request["groups"], "acr_level": request["level"]},
            "device": {"id": "d:1", "trust": request["trust"]}, "service": None}


def for_cedar(request):
    user, file, area = ({"type": kind, "id": name} for kind, name in
                        (("User", "fas:1"), ("File", request["path"]), ("Area", request["area"])))
    groups = [{"type": "Group", "id": group} for group in request["groups"]]
    entities = [{"uid": user, "attrs": {"acr_level": request["level"]}, "parents": groups},
                {"uid": file, "attrs": {}, "parents": [area]}]
    entities += [{"uid": uid, "attrs": {}, "parents": []} for uid in [area, *groups]]
    return {"principal": user, "action": {"type": "Action", "id": request["method"]}, "resource": file,
            "context": {"trust": request["trust"]}, "entities": entities}


def judged(bundle, requests, rounds=0):
    lines = [json.dumps({"bundle": bundle}), *(json.dumps(for_judge(request)) for request in requests)]
    done = subprocess.run([JUDGE, *(["--rounds", str(rounds)] if rounds else [])], input="\n".join(lines) + "\n", text=True,
                          stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def asked_of_cedar(policy, requests, rounds):
    question = {"modules": str(MODULES), "policy": policy, "rounds": rounds, "requests": [for_cedar(request) for request in requests]}
    done = subprocess.run(["node", ROOT / "bench/engines.mjs"], input=json.dumps(question), text=True,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def install():
    for word in ("node", "npm"):
        if not shutil.which(word):
            raise SystemExit(f"{word} is not there: it runs the other engine")
    if not (MODULES / "node_modules" / CEDAR).exists():
        MODULES.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", MODULES, CEDAR], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rules", type=int, nargs="*", default=[10, 100, 1000, 10000])
    options = parser.parse_args()
    install()
    print(f"{'rules':>6} {'belfry ns':>16} {'cedar ns':>22} {'ratio':>8}   (least, median of {options.rounds} rounds)")
    for count in options.rules:
        rules = rules_of(count)
        requests = requests_of(rules, max(20, 50000 // count) if count > 50 else 1000)
        bundle = as_bundle(rules)
        verdicts = [answer["permit"] for answer in judged(bundle, requests)]
        cedar = asked_of_cedar(as_cedar(rules), requests, options.rounds)
        belfry = judged(bundle, requests, options.rounds * 10)[0]
        assert verdicts == cedar["verdicts"], "they don't agree"
        assert any(verdicts) and not all(verdicts), "the requests say nothing"
        print(f"{count:>6} {belfry['least_ns']:>7.0f} {belfry['median_ns']:>8.0f} {cedar['least_ns']:>12.0f} {cedar['median_ns']:>9.0f} "
              f"{cedar['median_ns'] / belfry['median_ns']:>8.0f}   cedar {cedar['version']}, {sum(verdicts)} of {len(verdicts)} permitted")


if __name__ == "__main__":
    main()
