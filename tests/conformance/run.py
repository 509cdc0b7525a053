# SPDX-License-Identifier: EUPL-1.2
"""Runs conformance cases through `belfry policy eval --batch` and says which answers are not what is wanted."""
import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def kept():
    with open(os.path.join(HERE, "kept.jsonl"), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def plain(value):
    """A typed value in a form in which equal values are equal: doubles by number, maps without order."""
    (name, item), = value.items()
    if name == "double":
        number = float(item)
        return (name, "NaN" if number != number else number, str(number)[0] == "-")
    if name == "list":
        return (name, tuple(plain(v) for v in item))
    if name == "map":
        return (name, frozenset((plain(k), plain(v)) for k, v in item))
    return (name, item)


def answers(belfry, cases):
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([belfry, "policy", "eval", "--batch"], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def failures(belfry, cases):
    found = []
    got = answers(belfry, cases)
    assert [a["id"] for a in got] == [c["id"] for c in cases]
    for case, answer in zip(cases, got):
        if "error" in case:
            is_right = "error" in answer
        else:
            is_right = "value" in answer and plain(answer["value"]) == plain(case["want"])
        if not is_right:
            found.append((case["id"], case["expr"], case.get("want", "an error"), answer))
    return found
