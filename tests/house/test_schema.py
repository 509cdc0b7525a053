# SPDX-License-Identifier: EUPL-1.2
"""The schema that editors get knows every key that is documented (which the loaders hold the documentation to), takes
what is good, and no key that there is not."""

import copy
import json
import re
import subprocess

import jsonschema
import pytest
import yaml

from test_docs import ROOT, belfry, rows, section, table  # noqa: F401: belfry is a fixture

RULE = {"id", "owner", "purpose", "review_by", "expires", "mode"}
LANGUAGES = {"nl", "fr", "de", "en"}


class Texts(yaml.SafeLoader):
    """YAML 1.2 as editors read it: a time is a text."""


Texts.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}


@pytest.fixture(scope="module")
def schema(belfry):  # noqa: F811
    made = json.loads(subprocess.run([belfry, "policy", "schema"], check=True, capture_output=True).stdout)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def documented():
    """The paths that the tables name, and those that they describe in words."""
    found = set()
    for title, root in (("The charter", "charter"), ("The bundle", "bundle")):
        found |= {f"{root}.{name}" for name in rows(section("docs/policy.md", title)) if ":" not in name}
    for name in ("require", "forbid"):
        found |= {f"charter.baseline.{name}.{key}" for key in RULE}
    found |= {path.replace(".permit.", ".forbid.") for path in found if ".rules.permit." in path}
    for path in ("charter.baseline.require.reason", "charter.baseline.forbid.reason", "bundle.applications.name",
                 "bundle.identity_providers.sign_in.name"):
        found |= {f"{path}.{language}" for language in LANGUAGES}
    found |= {f"bundle.sign_in.hsts.{key}" for key in ("max_age", "include_subdomains", "preload")}
    return found | {f"bundle.tests.{name}" for name in rows(section("docs/policy.md", "Policy tests")) if "." not in name}


def test_it_has_the_keys_that_are_documented_and_no_other():
    written = [row[0] for row in table("policy/schema.def", "KEY")]
    assert len(written) == len(set(written)) > 100
    assert sorted(documented() - set(written)) == [] and sorted(set(written) - documented()) == []
    for path in written:  # the map in which a key stands is a row in front of it
        parent = path.rpartition(".")[0]
        assert "." not in parent or parent in written[:written.index(path)], path


POLICIES = sorted([*(ROOT / "demo/policy").glob("*.yaml"), *(ROOT / "tests/behaviour/policy").glob("*.yaml")])


@pytest.mark.parametrize("path", POLICIES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_good_is_taken(schema, path):
    text = re.sub(r"\b(ORIGIN|DEAD)\b", "1", path.read_text())
    assert [error.message for error in schema.iter_errors(yaml.load(text, Texts))] == []


def maps_in(node, at=()):
    """Where each map is whose keys are ours."""
    if isinstance(node, dict):
        if at and at[-1] in ("given", "acr_values", "sets") or "given" in at:
            return
        yield at
        for key, value in node.items():
            yield from maps_in(value, (*at, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from maps_in(value, (*at, number))


@pytest.mark.parametrize("path", POLICIES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_key_that_there_is_not_is_refused_wherever_it_stands(schema, path):
    good = yaml.load(path.read_text(), Texts)
    places = list(maps_in(good))
    assert len(places) > 3
    for place in places:
        bad = copy.deepcopy(good)
        inner = bad
        for step in place:
            inner = inner[step]
        inner["surplus"] = 1
        assert not schema.is_valid(bad), place


@pytest.mark.parametrize("change", [("serial", "one"), ("serial", None), ("not_after", "tomorrow"), ("belfry", "bundle/v1"),
                                    ("applications", {}), ("applications", [])], ids=str)
def test_a_value_of_another_kind_is_refused(schema, change):
    bad = yaml.load((ROOT / "demo/policy/finance.yaml").read_text(), Texts)
    bad[change[0]] = change[1]
    if change[1] is None:
        del bad[change[0]]
    assert change == ("applications", []) or not schema.is_valid(bad)
