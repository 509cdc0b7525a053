# SPDX-License-Identifier: EUPL-1.2
"""Conditions as `belfry policy eval` works them out: the published conformance cases of CEL that lie in the kept core, and
what a person and a program are told."""
import json
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))
import run as conformance  # noqa: E402
from world import BELFRY  # noqa: E402

FACTS = """given:
  user: { groups: [tax-officers], acr_level: 400 }
  device: { trust: managed }
  request: { client_address: 10.20.3.4, headers: { x-case-id: [a, b] } }
  now: 2026-03-31T22:30:15Z
request: GET https://tax.finance.localhost/declarations/12?year=2026
"""


@pytest.fixture
def belfry():
    return str(BELFRY)


def evaluate(binary, *args, stdin=""):
    return subprocess.run([binary, "policy", "eval", *args], input=stdin, capture_output=True, text=True, check=False)


def lines(binary, *cases):
    done = evaluate(binary, "--batch", stdin="".join(json.dumps(c) + "\n" for c in cases))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_published_case_of_the_kept_core_passes(belfry):
    cases = conformance.kept()
    assert len(cases) == 907
    assert conformance.failures(belfry, cases) == []


def test_a_person_sees_value_type_and_cost_or_why_there_is_none(belfry, tmp_path):
    facts = tmp_path / "facts.yaml"
    facts.write_text(FACTS)
    done = evaluate(belfry, 'user.groups.map(g, g + "!")', "--facts", str(facts))
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, '["tax-officers!"]')
    assert "type list(string)" in done.stdout and "steps" in done.stdout
    done = evaluate(belfry, "user.acr == 'x'", "--facts", str(facts))
    assert (done.returncode, done.stdout) == (1, "error: user.acr is missing\n")
    done = evaluate(belfry, "user.gruops == []")
    assert done.returncode == 1
    assert done.stdout.startswith("expression:1:6: error: ") and "did you mean 'user.groups'?" in done.stdout


def test_facts_of_a_file_are_those_of_a_policy_test(belfry, tmp_path):
    facts = tmp_path / "facts.yaml"
    facts.write_text(FACTS)
    for condition in ('"tax-officers" in user.groups && user.acr_level >= 400',
                      'device.trust == "managed" && !has(user.acr)',
                      'request.path == "/declarations/12" && request.query == "year=2026"',
                      'request.query_parameters == {"year": ["2026"]}',
                      'request.headers["x-case-id"] == ["a", "b"]',
                      'cidr("10.20.0.0/16").containsIP(request.client_address)',
                      'request.time.getHours("Europe/Brussels") == 0 && request.time.getHours() == 22'):
        done = evaluate(belfry, condition, "--facts", str(facts), "--json")
        assert json.loads(done.stdout)["value"] == {"bool": True}, condition
    facts.write_text(FACTS.replace("trust:", "trusts:"))
    done = evaluate(belfry, "true", "--facts", str(facts))
    assert done.returncode == 3 and "did you mean 'trust'?" in done.stderr


def test_lines_have_typed_values_in_both_directions(belfry):
    values = [{"int": -1}, {"uint": 1}, {"double": "1.5"}, {"double": "-Infinity"}, {"string": "é\u0000\""},
              {"bytes": "AP8="}, {"bool": True}, {"null": True}, {"list": [{"list": []}]},
              {"map": [[{"string": "a"}, {"int": 1}]]}, {"timestamp": "2026-01-31T08:00:00.5Z"}, {"duration": "-1.5s"},
              {"type": "int"}]
    cases = [{"id": n, "expr": "x", "vars": {"x": value}} for n, value in enumerate(values)]
    assert lines(belfry, *cases) == [{"id": n, "value": value} for n, value in enumerate(values)]
    assert lines(belfry, {"id": "u", "expr": "18446744073709551615u"}) == [{"id": "u", "value": {"uint": 2**64 - 1}}]


@pytest.mark.parametrize("value", [{"list": 5}, {"map": {}}, {"map": [[{"int": 1}]]}, {"null": False}, {"uint": -1}, {"bytes": "!"},
                                   {"map": [[{"int": 1}, {"int": 1}], [{"int": 1}, {"int": 2}]]}, {"int": 1, "uint": 1}, {}, 7,
                                   {"list": [{"int": 1}, {"uint": 1}]}, {"dyn": 1}, {"timestamp": "today"}])
def test_a_value_that_is_none_is_an_error(belfry, value):
    (got,) = lines(belfry, {"id": 1, "expr": "true", "vars": {"x": value}})
    assert got["id"] == 1 and got["error"]


def test_variables_that_are_no_object_and_lines_that_are_none_are_told(belfry):
    assert "vars" in lines(belfry, {"id": 1, "expr": "true", "vars": [1]})[0]["error"]
    assert lines(belfry, [1]) == [{"id": None, "error": "the line is no JSON object"}]


def test_lines_tell_each_error_and_go_on(belfry):
    done = evaluate(belfry, "--batch", stdin='no json\n{"id": 1}\n\n{"id": [2], "expr": "1 / 0"}\n{"id": 3, "expr": "x"}\n'
                    '{"id": 4, "expr": "x", "vars": {"x": {"int": "1"}}}\n{"id": 5, "expr": "1 + 1"}\n')
    got = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a["id"] for a in got] == [None, 1, [2], 3, 4, 5]
    assert [("error" in a) for a in got] == [True] * 5 + [False]
    assert got[2]["error"] == "division by zero"
    assert got[5]["value"] == {"int": 2}


BUNDLE = """belfry: entity/v1
entity: finance
serial: 1
not_after: 2027-06-01T00:00:00Z
sets: { officers: ["fas:jan", "fas:anne"], tax-readers: ["fas:piet"] }
applications:
  - id: desk
    host: tax.localhost
    device: none
    upstreams: ["http://127.0.0.1:9001"]
    rules:
      - { id: officers, permit: {}, when: user.id in sets.officers }
      - { id: readers, permit: {methods: [GET]}, when: 'user.id in sets["tax-readers"] && request.time.getHours("Europe/Brussels") < 19' }
tests:
  - { name: jan, given: { user: { id: "fas:jan" } }, request: "POST https://tax.localhost/", expect: permit by officers }
  - { name: piet by day, given: { user: { id: "fas:piet" }, now: 2026-07-01T16:59:59Z }, request: "GET https://tax.localhost/", expect: permit by readers }
  - { name: piet by night, given: { user: { id: "fas:piet" }, now: 2026-07-01T17:00:00Z }, request: "GET https://tax.localhost/", expect: deny }
"""


def test_sets_and_the_time_decide_and_check_prints_the_cost(belfry, tmp_path):
    bundle = tmp_path / "bundle.yaml"
    bundle.write_text(BUNDLE)
    done = subprocess.run([belfry, "policy", "check", str(bundle), "--verbose"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "desk/officers: cost at most 5 steps: user.id in sets.officers\n" in done.stdout
    bundle.write_text(BUNDLE.replace("sets.officers", "sets.oficers"))
    done = subprocess.run([belfry, "policy", "check", str(bundle)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "[unknown-set]" in done.stdout and "did you mean 'officers'?" in done.stdout
