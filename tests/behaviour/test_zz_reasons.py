# SPDX-License-Identifier: EUPL-1.2
"""The last of the behaviour tests: every reason of reason.def has been met by one of them, from outside."""

import pathlib
import re

import pytest

from world import REASONS, ROOT

# Reasons that no test can bring about from outside, and why. Whoever adds one here says so in a sentence.
UNREACHABLE = {
    "internal": "stands for a mistake of ours; a test that could cause one would be a bug report",
    "policy_unavailable": "a worker without rules closes connections before any request; kept for the order of start",
}


def test_each_reason_has_been_met(request, world):
    if not REASONS or request.config.option.keyword:
        pytest.skip("this says something about the whole suite only, as `./dev test` runs it")
    names = set(re.findall(r"(?m)^REASON\(\w+, (\w+),", (ROOT / "include/belfry/reason.def").read_text()))
    assert len(names) > 40
    met = [set(file.read_text().split()) for file in pathlib.Path(REASONS).iterdir()]
    assert len(met) > 100, "not all files have run"
    seen = world.reasons().union(*met)
    assert seen <= names, "an audit names a reason that is in no table"
    missing = names - seen - UNREACHABLE.keys()
    assert not missing, f"no behaviour test meets: {', '.join(sorted(missing))}"
    assert not UNREACHABLE.keys() - names, "a reason is gone, its excuse is not"
    assert not seen & UNREACHABLE.keys(), f"they can be met: {', '.join(sorted(seen & UNREACHABLE.keys()))}"
