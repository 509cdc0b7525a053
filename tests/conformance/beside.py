# SPDX-License-Identifier: EUPL-1.2
"""Generated expressions, evaluated by ours and by @bufbuild/cel. Where the two differ, the least part of the expression on
which they do is looked for, and put under one of the known differences (known_differences.txt), or under none."""
import datetime
import json
import pathlib
import re
import subprocess
from decimal import Decimal

import run
from generate import expressions

HERE = pathlib.Path(__file__).resolve().parent
PEER = HERE / "peer/evaluate.mjs"
EPOCH = datetime.datetime(1970, 1, 1)


def known_differences():
    """Paragraphs: the name, then "expression:", "ours:" and "theirs:", patterns that all must be found, and "because:"."""
    out = []
    for paragraph in (HERE / "known_differences.txt").read_text().split("\n\n")[1:]:
        name, *lines = paragraph.strip().splitlines()
        fields = dict(line.strip().split(": ", 1) for line in lines)
        assert set(fields) == {"expression", "ours", "theirs", "because"}, name
        out.append((name, fields))
    return out


def plain(value):
    """The same for equal values of both, whose moments and spans are written differently."""
    (kind, item), = value.items()
    if kind == "list":
        return kind, tuple(plain(v) for v in item)
    if kind == "map":
        return kind, frozenset((plain(k), plain(v)) for k, v in item)
    if kind in ("timestamp", "duration") and isinstance(item, list):
        return kind, Decimal(item[0]) + Decimal(item[1]) / 10**9
    if kind == "duration":
        return kind, Decimal(item[:-1])
    if kind == "timestamp":
        whole, _, rest = item[:-1].partition(".")
        span = datetime.datetime.fromisoformat(whole) - EPOCH
        return kind, Decimal(span.days * 86400 + span.seconds) + Decimal(f"0.{rest or 0}")
    if kind in ("int", "uint"):
        return kind, int(item)
    return run.plain(value)


def by_peer(cases):
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run(["node", PEER], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_same(ours, theirs):
    if "error" in ours or "error" in theirs:
        return "error" in ours and "error" in theirs
    return plain(ours["value"]) == plain(theirs["value"])


def differing(belfry, texts):
    """{text: (our answer, theirs)} of those on which the two differ."""
    cases = [{"id": str(i), "expr": text} for i, text in enumerate(texts)]
    ours, theirs = run.answers(belfry, cases), by_peer(cases)
    assert [a["id"] for a in ours] == [a["id"] for a in theirs] == [case["id"] for case in cases]
    return {text: (o, t) for text, o, t in zip(texts, ours, theirs) if not is_same(o, t)}


def said(answer):
    return f"error {answer['error']}" if "error" in answer else f"value {json.dumps(answer['value'], ensure_ascii=False)}"


def name_of(known, text, ours, theirs):
    for name, fields in known:
        if (re.search(fields["expression"], text) and re.search(fields["ours"], said(ours))
                and re.search(fields["theirs"], said(theirs))):
            return name
    return None


def compare(belfry, seed, count):
    """({name of a known difference: how many}, [(least expression, our answer, theirs) that are under none])."""
    known = known_differences()
    asked = expressions(seed, count)
    found = set(differing(belfry, asked))
    parts = {text: sorted(text.closed(), key=len) for text in asked if text in found}
    least = differing(belfry, sorted(set().union(*parts.values())))
    names, unknown = {}, []
    for those in parts.values():
        text = next(part for part in those if part in least)
        name = name_of(known, text, *least[text])
        if name:
            names[name] = names.get(name, 0) + 1
        else:
            unknown.append((text, *map(said, least[text])))
    return names, unknown
