# SPDX-License-Identifier: EUPL-1.2
"""The last of the behaviour tests: every reason of reason.def has been met by one of them, from outside."""

import re

import pytest

from world import REASONS, ROOT

FOLDER = ROOT / "tests/behaviour"

# Reasons that no test can bring about from outside, and why. Whoever adds one here says so in a sentence.
UNREACHABLE = {
    "internal": "stands for a mistake of ours; a test that could cause one would be a bug report",
    "session_ended": "a stream under way whose person signs out; it needs a person who signs in in a browser",
    "policy_unavailable": "a worker without rules closes connections before any request; kept for the order of start",
}


def whole_suite(request):
    """Only where all files ran, and all of each."""
    files = {item.path for item in request.session.items if item.path.parent == FOLDER}
    options = request.config.option
    return files == set(FOLDER.glob("test_*.py")) and not options.keyword and not any(
        "::" in argument for argument in request.config.args)


def test_each_reason_has_been_met(request, world):
    if not whole_suite(request):
        pytest.skip("this says something about the whole suite only")
    names = set(re.findall(r"(?m)^REASON\(\w+, (\w+),", (ROOT / "include/belfry/reason.def").read_text()))
    assert len(names) > 40
    seen = REASONS | world.reasons()
    assert seen <= names, "an audit names a reason that is in no table"
    missing = names - seen - UNREACHABLE.keys()
    assert not missing, f"no behaviour test meets: {', '.join(sorted(missing))}"
    assert not UNREACHABLE.keys() - names, "a reason is gone, its excuse is not"
    assert not seen & UNREACHABLE.keys(), f"they can be met: {', '.join(sorted(seen & UNREACHABLE.keys()))}"
