# SPDX-License-Identifier: EUPL-1.2
"""Each code of docs/policy-errors.md, as an author meets it: the command, the file, the line and character (marked here by
» in front of it), error or warning, and the words that say what stands there, what is allowed, and the nearest name."""

import json
import re
import subprocess

import pytest

from test_policy_tools import pki  # noqa: F401
from world import BELFRY, ROOT

HEAD = "belfry: entity/v1\nentity: e\nserial: 1\nnot_after: 2030-01-01T00:00:00Z\n"
PROVIDER = "identity_providers:\n  - id: fas\n    issuer: https://fas.example\n    audiences: [x]\n"
AUTHORITY = "device_authorities:\n  - id: a\n    trust: managed\n    device_name: subject.CN\n"
NO_APPS = HEAD + "applications: []\n"
APP = (HEAD + PROVIDER + "applications:\n  - id: desk\n    host: desk.example\n    device: none\n"
       "    identity_providers: [fas]\n")
UP = APP + "    upstreams: [http://10.0.0.1:80]\n"
RULES = UP + "    rules:\n"
RULE = RULES + "      - id: r\n        permit: { methods: [GET], paths: [\"/a/{case}\"] }\n"
WHEN = RULE + "        when: "
WHOLE = WHEN + "'\"g\" in user.groups'\n"
TESTS = WHOLE + "tests:\n  - name: t\n"
CHARTER = "belfry: charter/v1\nserial: 1\nnot_after: 2030-01-01T00:00:00Z\n"
KEY = "PHcIwv4yrDHaPTXYmwe2e5K0uxiy2WIUtmV1NyeFC+w="
ENTITY = ("entities:\n  - id: e\n    hosts: [desk.example]\n    upstream_networks: [10.0.0.0/8]\n    fetch_hosts: [fas.example]\n"
          "    keys:\n")
ONE_KEY = f"      - {{ id: k, public: \"{KEY}\" }}\n"
GOOD_CHARTER = CHARTER + ENTITY + ONE_KEY
DEEP = "»" + "[" * 40 + "]" * 40
LISTS = "user.groups.exists(a, user.scopes.exists(b, user.amr.exists(c, "

# code: (text with the mark, words that are told, ...); words in order.
FOUND = {
    # YAML
    "syntax": [(HEAD + "entity: b»: c\n", "mapping")],
    "encoding": [(HEAD + "# »\x01\n", "U+0001")],
    "empty": [("»# nothing\n", "empty")],
    "too-deep": [(HEAD + "sets: " + "[" * 31 + DEEP, "32 levels")],
    "several-documents": [(HEAD + "»---\na: b\n", "one is allowed")],
    "directive": [("»%YAML 1.1\n---\n" + HEAD, "%YAML")],
    "anchor": [("belfry: entity/v1\nentity: »&x e\n", "'&'")],
    "alias": [("belfry: entity/v1\nentity: »*x\n", "write the value out", "'*' stands in quotes")],
    "tag": [("belfry: entity/v1\nentity: »!!str e\n", "'!'")],
    "merge-key": [(HEAD + "»<<: { a: b }\n", "write the values out")],
    "duplicate-key": [(HEAD + "»serial: 2\n", "'serial'", "line 3")],
    "wrong-key": [(HEAD + "? »[a]\n: b\n", "must be a text")],
    # Keys and values
    "unknown-key": [(NO_APPS + "»aplications: []\n", "'aplications'", "identity_providers", "did you mean 'applications'?"),
                    (NO_APPS + "»colour: red\n", "'colour'", "allowed: belfry, entity, serial")],
    "missing-key": [(UP.replace("  - id", "  - »id", 2).replace("»", "", 1), "'rules'")],
    "empty-value": [(HEAD + "»applications:\n", "'applications'", "leave the key out")],
    "wrong-kind": [(HEAD + "applications: »all\n", "must be a list", "'all'"), (HEAD + "applications: »{ a: b }\n", "a map")],
    "wrong-value": [(NO_APPS.replace("serial: 1", "serial: »one"), "serial", "'one'")],
    "out-of-range": [(NO_APPS.replace("serial: 1", "serial: »0"), "from 1 to", "'0'")],
    "unknown-word": [(APP.replace("none", "»requierd"), "'requierd'", "allowed: required_by_tls, required, optional, none",
                      "did you mean 'required'?")],
    "empty-list": [(APP + "    upstreams: »[]\n    rules: []\n", "from 1 to 64")],
    "too-many": [(CHARTER + ENTITY.replace("    keys", "    approvals: »2\n    keys") + ONE_KEY, "2 approvals", "there are 1")],
    "repeated": [(WHOLE.replace("[GET]", "[GET, »GET]"), "'GET'")],
    "conflict": [(NO_APPS + AUTHORITY.replace("  - id", "  - »id") + "    ca_file: a.pem\n    ca_pem: x\n", "ca_file and ca_pem")],
    "wrong-id": [(HEAD.replace(": e\n", ": »E_1\n"), "'E_1'", "a-z, 0-9 and '-'")],
    "duplicate-id": [(WHOLE + "      - id: »r\n        forbid: {}\n", "'r'", "second time")],
    "wrong-url": [(NO_APPS + PROVIDER + "    jwks_uri: »http://fas.example/keys\n", "'http://fas.example/keys'", "https://")],
    "wrong-document": [("belfry: »entity/v2\n", "'belfry: entity/v1'", "'entity/v2'")],
    # Charter
    "wrong-host": [(CHARTER + ENTITY.replace("[desk", "[a.example, »Desk") + ONE_KEY, "'desk.example'"),
                   (UP.replace(" desk.example", " »'*.example'"), "'*.example'", "such as tax.finance.example")],
    "overlapping-hosts": [(GOOD_CHARTER.replace("[desk", "[»desk") + "  - id: f\n    hosts: [b.other, '*.example']\n    keys:\n" + ONE_KEY,
                           "'desk.example'", "'*.example'", "'f'")],
    "wrong-network": [(CHARTER + ENTITY.replace("[10.0.0.0/8]", "[10.0.0.0/8, »10.1.2.3/8]") + ONE_KEY, "'10.1.2.3/8'",
                       "such as 10.1.0.0/16")],
    "never-valid": [(CHARTER + ENTITY + ONE_KEY.replace(" }", ", not_before: 2027-01-01T00:00:00Z, not_after: "
                                                        "»2026-01-01T00:00:00Z }"), "later")],
    "revoked-key": [(CHARTER + f"revoked_keys: [\"{KEY}\"]\n" + ENTITY + ONE_KEY.replace("{", "»{"), "'k'")],
    "forbids-all": [(CHARTER + "baseline:\n  forbid:\n    - »id: all\n" + "entities: []\n", "methods, paths or when")],
    # Providers and authorities
    "wrong-token-type": [(NO_APPS + PROVIDER + "    token_types: [at+jwt, »logout+jwt]\n", "'logout+jwt'", "such as at+jwt")],
    "wrong-jwks": [(NO_APPS + PROVIDER + "    jwks: »'[]'\n", "JSON object")],
    "private-key": [(NO_APPS + PROVIDER + "    jwks: »'{\"keys\": [{\"kty\": \"EC\", \"d\": \"x\"}]}'\n", "private part")],
    "literal-secret": [(NO_APPS + PROVIDER + "    sign_in: { client_id: c, client_secret: »hunter2 }\n", "${secret:NAME}")],
    "wrong-ca": [(NO_APPS + AUTHORITY + "    ca_pem: »none\n", "no certificate in PEM")],
    "wrong-crl": [(NO_APPS + AUTHORITY + "    ca_file: ca.pem\n    revocation: { crl_pem: »none }\n", "X509 CRL")],
    "no-source": [(NO_APPS + AUTHORITY + "    ca_file: ca.pem\n    revocation: »{ refresh: 1h }\n", "crl, crl_file, ocsp")],
    "file": [(NO_APPS + AUTHORITY + "    ca_file: »nowhere.pem\n", "nowhere.pem")],
    "unused": [(WHOLE.replace("identity_providers:\n", "identity_providers:\n  - »id: other\n    issuer: https://o.example\n"
                              "    audiences: [x]\n", 1), "'other'")],
    # Applications and rules
    "duplicate-host": [(WHOLE + "  - id: b\n    host: »desk.example\n    device: none\n    upstreams: [http://10.0.0.1]\n    rules: []\n",
                        "'desk.example'")],
    "wrong-upstream": [(APP + "    upstreams: [»grpc://10.0.0.1]\n    rules: []\n", "'grpc://10.0.0.1'", "allowed is http://")],
    "mixed-upstreams": [(APP + "    upstreams: [http://10.0.0.1, »https://a.example]\n    rules: []\n", "'http://10.0.0.1'",
                         "'https://a.example'", "TLS")],
    "wrong-header": [(UP + "    facts: { headers: [x-case, »cookie] }\n    rules: []\n", "'cookie'", "secrets"),
                     (UP + "    facts: { headers: [»X-Case] }\n    rules: []\n", "'X-Case'", "lower-case")],
    "wrong-origin": [(UP + "    websocket: { origins: [https://a.example, »https://b.example/] }\n    rules: []\n",
                      "'https://b.example/'", "allowed is https://")],
    "duplicate-issuer": [(WHOLE.replace("applications:", PROVIDER.split("\n", 1)[1].replace("fas\n", "two\n") + "applications:", 1)
                          .replace("[fas]", "[fas, »two]"), "'fas'", "'two'", "one issuer")],
    "no-authority": [(WHOLE.replace("device: none", "device: »optional"), "no device_authorities")],
    "too-costly": [(RULES.replace("    rules:\n", "    rules:\n      »") + "".join(
        f"{'' if n == 0 else '      '}- {{ id: r{n}, permit: {{}}, when: 'user.groups.exists(a, a in user.groups)' }}\n"
        for n in range(200)), "more than 10000000", "x in list")],
    "no-rules": [(UP + "    rules: »[]\n", "every request is denied")],
    "no-effect": [(RULES + "      - »id: r\n", "'permit' or 'forbid'")],
    "never-decides": [(RULES + "      - { id: f, forbid: { paths: [\"/a/**\"] } }\n      - »{ id: p, permit: { paths: [/a/b] }, when: "
                       "'\"g\" in user.groups' }\n", "'p'", "'f' forbids"),
                      (WHEN + "'»\"g\" in user.groups && device.trust == \"managed\"'\n", "'r'", "device: none"),
                      (WHOLE.replace("    identity_providers: [fas]\n", "").replace("'\"g", "'»\"g"), "'r'", "identity_providers")],
    "outside-path": [(RULES + "      - »id: r\n        permit: { paths: [\"/.belfry/x\"] }\n        when: '\"g\" in user.groups'\n",
                      "'/.belfry/x'")],
    "duplicate-rule": [(WHOLE + "      - »id: s\n        permit: { methods: [GET], paths: [\"/a/{case}\"] }\n"
                        "        when: '\"g\" in user.groups'\n", "'s'", "'r'")],
    "overdue-review": [(WHOLE.replace("- id: r", "- »id: r") + "        review_by: 2020-01-01T00:00:00Z\n        owner: an\n", "'r'", "an")],
    "expired-rule": [(WHOLE.replace("- id: r", "- »id: r") + "        expires: 2020-01-01T00:00:00Z\n", "'r'", "expired")],
    "late-review": [(WHOLE.replace("- id: r", "- »id: r") + "        expires: 2031-01-01T00:00:00Z\n"
                     "        review_by: 2032-01-01T00:00:00Z\n", "'r'")],
    "no-condition": [(RULE.replace("- id: r", "- »id: r"), "everyone")],
    "remedy-on-forbid": [(RULES + "      - { id: r, forbid: {}, remedy: »step_up }\n", "only a permit")],
    "wrong-method": [(WHOLE.replace("[GET]", "[GET, »get]"), "'get'", "upper case", "did you mean 'GET'?"),
                     (WHOLE.replace("[GET]", "[»TRACE]"), "TRACE")],
    "unusual-method": [(WHOLE.replace("[GET]", "[»PSOT]"), "'PSOT'", "did you mean 'POST'?")],
    "wrong-path": [(WHOLE.replace("[\"/a/{case}\"]", "[/a, »/b/../c]"), "'/b/../c'", "dot segment")],
    # Conditions
    "condition-syntax": [(WHEN + "'user.id ==»'\n", "end")],
    "condition-not-carried": [(WHEN + "'user.id in google.protobuf.Empty»{}'\n", "messages", "not carried"),
                              (WHEN + "'user.»?id == \"x\"'\n", "not carried"), (WHEN + "'»dyn(user.id) == 1'\n", "'dyn'", "int()"),
                              (WHEN + "'optional.»of(user.id) == 1'\n", "'optional'", "has(x.y)"),
                              (WHEN + "'user.id in [»?user.id]'\n", "not carried", "has(x.y)")],
    "condition-type": [(WHEN + "'user.acr_level »>= \"400\"'\n", "'>='", "an int with a string", "one type"),
                       (WHEN + "'user.id »+ 1 == \"x\"'\n", "'+'", "a string and an int", "allowed are int + int")],
    "condition-value": [(WHEN + "'session.age < duration(»\"2 days\")'\n", "'duration'")],
    "condition-regex": [(WHEN + "'user.id.matches(»\"a(b\")'\n", "'(' without ')'", "'(b'")],
    "condition-time-zone": [(WHEN + "'request.time.getHours(»\"Europe/Brusels\") < 6'\n", "'Europe/Brusels'", "UTC, +02:00",
                             "did you mean 'Europe/Brussels'?")],
    "condition-limit": [(WHEN + f"'»{LISTS}a == b && b == c)))'\n", "steps")],
    "condition-always-true": [(WHEN + "'\"g\" in user.groups && »has(user.groups)'\n", "user.groups"),
                              (WHEN + "'»user.acr_level >= 0 || user.acr_level < 0'\n", "never false", "user.acr_level")],
    "condition-never-true": [(WHEN + "'»user.acr_level >= 400 && user.acr_level < 300'\n", "never true", "user.acr_level"),
                             (WHEN + "'»\"g\" in user.groups || user.id in []'\n", "user.id in []", "never true")],
    "unknown-fact": [(WHEN + "'\"g\" in user.»gruops'\n", "'gruops'", "id, subject", "did you mean 'user.groups'?"),
                     (WHEN + "'path.»cas == \"1\"'\n", "'cas'", "did you mean 'case'?"),
                     (WHEN + "'request.headers[»\"x-case\"] == [\"1\"]'\n", "'x-case'", "headers")],
    "unknown-name": [(WHEN + "'»usr.id == \"x\"'\n", "'usr'", "user, device", "did you mean 'user.id'?")],
    "unknown-function": [(WHEN + "'user.id.»startWith(\"x\")'\n", "'startWith'", "did you mean 'startsWith'?")],
    "unknown-set": [(WHEN.replace("applications:", "sets: { officers: [a] }\napplications:") + "'user.id in sets.»oficers'\n", "'oficers'",
                     "did you mean 'officers'?")],
    # Policy tests
    "test-request": [(TESTS + "    request: »desk.example/\n    expect: deny\n", "GET https://host/path", "'desk.example/'")],
    "test-expect": [(TESTS + "    request: GET https://desk.example/\n    expect: »allow\n", "'allow'", "permit")],
    "test-host": [(TESTS.replace("- name", "- »name") + "    request: GET https://other.example/\n    expect: deny\n", "'other.example'")],
    "test-rule": [(TESTS + "    request: GET https://desk.example/\n    expect: »permit by rr\n", "'rr'"),
                  (TESTS.replace(" r\n", " readers\n") + "    request: GET https://desk.example/\n    expect: »permit by reader\n",
                   "'reader'", "did you mean 'readers'?")],
    "test-failed": [(TESTS.replace("- name", "- »name") + "    request: GET https://desk.example/a/1\n    expect: permit by r\n",
                     "'t'", "permit by r", "deny because identity_required", "user.groups")],
}
# With --charter.
UNDER = {
    "not-delegated": [
        (GOOD_CHARTER, WHOLE.replace("  - id: desk", "  - »id: desk").replace("desk.example", "desk.other"), "'desk.other'", "'e'"),
        (GOOD_CHARTER, WHOLE.replace("  - id: desk", "  - »id: desk").replace("//10.0.0.1", "//11.0.0.1"), "'http://11.0.0.1:80'"),
        (GOOD_CHARTER.replace("    keys:", "    limits: { rules: 0 }\n    keys:"), "»" + WHOLE, "1 rules", "may have 0"),
        (GOOD_CHARTER.replace("fas.example", "other.example"), "»" + WHOLE, "'https://fas.example'"),
        (GOOD_CHARTER, "»" + WHOLE.replace("entity: e", "entity: f"), "'f'")],
    "old-serial": [(GOOD_CHARTER.replace("    keys:", "    min_serial: 7\n    keys:"), "»" + WHOLE, "at least 7", "not 1")],
}
# Of belfry.yaml.
CONFIG = {
    "wrong-type": [("listen: »7\n", "listen")],
    "bad-address": [("listen: [»localhost]\n", "localhost")],
    "bad-network": [("listen: [127.0.0.1:1]\nadmin: { allow: [»127.0.0.1/8] }\n", "127.0.0.1/8")],
}
ELSEWHERE = {
    "unformatted": "test_fmt.py", "too-large": "unit/base/yaml.c", "file-outside": "unit/policy/bundle.c",
    "inline": "unit/policy/bundle.c", "no-root": "test_findings.py",
}


def tables():
    """code: (kind, its chapter) of the documentation."""
    out, chapter = {}, ""
    for line in (ROOT / "docs/policy-errors.md").read_text().splitlines():
        if line.startswith("## "):
            chapter = line[3:]
        elif match := re.match(r"\| `([a-z-]+)` \| (error|warning) \|", line):
            out[match[1]] = match[2], chapter
    return out


def place(text):
    """The text without its mark, and where that is."""
    assert text.count("»") == 1, text
    before = text.partition("»")[0]
    return text.replace("»", ""), before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1


def check(folder, name, text, words, code, *options):
    text, line, column = place(text)
    (folder / name).write_text(text)
    done = subprocess.run([BELFRY, "policy", "check", name, *options], cwd=folder, capture_output=True, text=True, timeout=60)
    kind = tables()[code][0]
    expected = rf"{re.escape(name)}:{line}:{column}: {kind}: .*" + ".*".join(map(re.escape, words)) + rf".* \[{code}\]"
    assert re.search(f"(?m)^{expected}$", done.stdout), f"\n{expected}\n{done.stdout}{done.stderr}"
    assert "error" not in kind or done.returncode == 1, done.returncode
    assert kind == "error" or done.returncode == 0, (done.returncode, done.stdout)
    said = json.loads(subprocess.run([BELFRY, "policy", "check", name, *options, "--json"], cwd=folder, capture_output=True,
                                     text=True, timeout=60).stdout)
    assert (code, line, column) in [(one["code"], one["line"], one["column"]) for one in said[-1]["findings"]]


@pytest.mark.parametrize("code", FOUND)
def test_each_finding_is_told_at_its_place(tmp_path, pki, code):  # noqa: F811
    (tmp_path / "ca.pem").write_bytes(pki.read_bytes())
    for text, *words in FOUND[code]:
        check(tmp_path, "policy.yaml", text, words, code)


@pytest.mark.parametrize("code", UNDER)
def test_each_finding_under_a_charter_is_told_at_its_place(tmp_path, code):
    for charter, text, *words in UNDER[code]:
        (tmp_path / "charter.yaml").write_text(charter)
        check(tmp_path, "policy.yaml", text, words, code, "--charter", "charter.yaml")


def test_the_files_that_findings_are_tried_on_are_good_without_the_mistake(tmp_path):
    for number, (text, *options) in enumerate([(WHOLE,), (GOOD_CHARTER,), (WHOLE, "--charter", "1.yaml")]):
        (tmp_path / f"{number}.yaml").write_text(text)
        done = subprocess.run([BELFRY, "policy", "check", f"{number}.yaml", *options], cwd=tmp_path, capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0 and "warning" not in done.stdout, done.stdout


def test_all_that_is_not_delegated_is_told_at_once(tmp_path):
    (tmp_path / "charter.yaml").write_text(GOOD_CHARTER.replace("fas.example", "other.example"))
    (tmp_path / "policy.yaml").write_text(WHOLE.replace("[http://10.0.0.1:80]", "[http://11.0.0.1, http://10.0.0.1, http://12.0.0.1]")
                                          .replace("desk.example", "desk.other"))
    done = subprocess.run([BELFRY, "policy", "check", "policy.yaml", "--charter", "charter.yaml"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 1 and done.stdout.count("[not-delegated]") == 4, done.stdout
    for words in ("desk.other", "11.0.0.1", "12.0.0.1", "https://fas.example"):
        assert words in done.stdout


def test_each_code_of_the_documentation_is_tried():
    known = tables()
    tried = {**FOUND, **UNDER, **ELSEWHERE}
    assert set(tried) <= set(known), set(tried) - set(known)
    missing = {code for code, (_, chapter) in known.items() if "gateway's configuration" not in chapter} - set(tried) - {"wrong-type"}
    assert not missing, missing
