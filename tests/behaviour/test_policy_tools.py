# SPDX-License-Identifier: EUPL-1.2
"""What an author of policy is told before publishing: explain, coverage, who-can, what-can, diff, replay."""

import json
import os
import pathlib
import pty
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOST = "tax.finance.localhost"
BUNDLE = """belfry: entity/v1
entity: fod-finance
serial: 1
not_after: 2030-01-01T00:00:00Z
identity_providers:
  - id: fas
    issuer: https://fas.example
    audiences: [tax-api]
    jwks_uri: https://fas.example/jwks
device_authorities:
  - id: laptops
    trust: managed
    device_name: subject.CN
    ca_file: finance-devices.pem
applications:
  - id: tax
    host: tax.finance.localhost
    device: optional
    identity_providers: [fas]
    upstreams: [http://127.0.0.1:8080]
    rules:
      - id: officers-read
        permit: { methods: [GET, HEAD], paths: ["/", "/declarations/**"] }
        when: '"officers" in user.groups && device.trust == "managed"'
      - id: officers-write
        permit: { methods: [POST], paths: ["/declarations/**"] }
        when: '"officers" in user.groups && user.acr_level >= 400'
        remedy: step_up
      - id: scoped
        permit: { methods: [GET], paths: ["/own/**"] }
        when: '"own" in user.scopes'
      - id: nothing-secret
        forbid: { paths: ["/declarations/secret/**"] }
      - id: long-ago
        permit: { paths: ["/gone/**"] }
        expires: 2020-01-01T00:00:00Z
        when: 'user.provider == "fas"'
tests:
  - name: an officer reads
    given: { user: { groups: [officers] }, device: { trust: managed } }
    request: GET https://tax.finance.localhost/declarations/12
    expect: permit by officers-read
"""
CHARTER = """belfry: charter/v1
serial: 1
not_after: 2030-01-01T00:00:00Z
baseline:
  require:
    - id: level
      when: 'user.acr_level >= 300'
      reason: { nl: Niveau, fr: Niveau, de: Niveau, en: Level }
entities: []
"""


class Desk:
    def __init__(self, folder):
        self.folder = folder
        self.belfry = os.environ.get("BELFRY", str(ROOT / "build/release/belfry"))
        self.write("bundle.yaml", BUNDLE)

    def write(self, name, text):
        (self.folder / name).write_text(text)
        return name

    def bundle(self, name, *changes):
        text = BUNDLE
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        return self.write(name, text)

    def run(self, *words, code=0):
        done = subprocess.run([self.belfry, "policy", *map(str, words)], capture_output=True, text=True, cwd=self.folder,
                              timeout=60)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def __call__(self, *words, code=0):
        done = self.run(*words, code=code)
        return done.stdout + done.stderr

    def json(self, *words, code=0):
        return json.loads(self.run(*words, "--json", code=code).stdout)

    def explain(self, given, request, *more, code):
        self.write("facts.yaml", f"given: {given}\nrequest: {request}\n")
        said = self.json("explain", "bundle.yaml", "--facts", "facts.yaml", *more, code=code)
        return said, {rule["rule"]: rule for rule in said["rules"]}


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    subprocess.run([ROOT / "certs/make-test-pki", folder / "pki"], check=True, capture_output=True)
    return folder / "pki/ca/finance-devices.pem"


@pytest.fixture
def desk(tmp_path, pki):
    (tmp_path / pki.name).write_bytes(pki.read_bytes())
    return Desk(tmp_path)


def line(path="/declarations/1", method="GET", reason="permitted", person=1, device=1, groups=("officers",), level=500, **more):
    """A line as the audit writes it."""
    said = {"@timestamp": "2026-11-24T12:00:00.000001Z", "event.type": ["access", "allowed" if reason == "permitted" else "denied"],
            "event.action": "access-decision", "belfry.reason_code": reason, "event.id": f"R-{person}-{device}",
            "organization.id": "fod-finance", "http.request.method": method, "url.domain": HOST, "url.path": path,
            "client.ip": "127.0.0.1", "http.version": "2"}
    if person:
        said |= {"user.hash": f"{person:064x}", "belfry.provider": "fas", "belfry.acr_level": level}
        said |= {"user.roles": list(groups)} if groups else {}
    if device:
        said |= {"device.id": f"laptops:pc-{device}", "tls.client.hash.sha256": f"{device:064x}", "belfry.authority": "laptops"}
    return json.dumps(said | more, separators=(",", ":")) + "\n"


# explain


def test_explain_marks_each_rule_and_names_what_is_missing(desk):
    said, rules = desk.explain("{ user: { groups: [officers] } }", f"GET https://{HOST}/declarations/12", code=1)
    assert (said["verdict"], said["reason"], said["rule"]) == ("deny", "device_required", "officers-read")
    assert rules["officers-read"]["mark"] == "may" and rules["officers-read"]["missing"] == "device.trust"
    assert rules["officers-write"]["mark"] == "elsewhere" and rules["long-ago"]["mark"] == "expired"
    assert "certificate" in said["remedy"]


def test_explain_says_which_condition_is_not_so_and_which_level_would_do(desk):
    said, rules = desk.explain("{ user: { groups: [officers], acr_level: 200 } }", f"POST https://{HOST}/declarations/12", code=1)
    assert said["reason"] == "assurance_too_low" and "level 400" in said["remedy"]
    assert rules["officers-write"]["mark"] == "may" and rules["officers-write"]["failed"] == "user.acr_level >= 400"
    said, rules = desk.explain("{ user: { groups: [guests] } }", f"POST https://{HOST}/declarations/12", code=1)
    assert rules["officers-write"]["mark"] == "miss" and rules["officers-write"]["failed"] == '"officers" in user.groups'


def test_explain_shows_a_permit_a_forbid_and_the_baseline(desk):
    given = "{ user: { groups: [officers], acr_level: 500 }, device: { trust: managed } }"
    said, rules = desk.explain(given, f"GET https://{HOST}/", code=0)
    assert said["verdict"] == "permit" and rules["officers-read"]["mark"] == "hit"
    said, rules = desk.explain(given, f"GET https://{HOST}/declarations/secret/1", code=1)
    assert said["reason"] == "forbidden" and rules["nothing-secret"]["mark"] == "hit" and "nothing-secret" in said["remedy"]
    desk.write("charter.yaml", CHARTER)
    low = given.replace("500", "100")
    said, rules = desk.explain(low, f"GET https://{HOST}/", "--charter", "charter.yaml", code=1)
    assert said["rule"] == "level" and rules["level"]["baseline"] and rules["level"]["mark"] == "miss"
    assert desk.explain(low, f"GET https://{HOST}/", code=0)[0]["verdict"] == "permit"


def test_explain_reads_a_line_of_the_audit_and_says_what_it_does_not_hold(desk):
    desk.write("log", line(person=1) + line("/own/1", person=2) + line(person=3, groups=[]))
    said = desk.json("explain", "bundle.yaml", "--audit", "log", "--reference", "R-1-1")
    assert said["verdict"] == "permit" and said["recorded"]["reason"] == "permitted"
    said = desk.json("explain", "bundle.yaml", "--audit", "log", "--reference", "R-2-1", code=4)
    assert said["verdict"] == "unknown" and said["rule"] == "scoped" and said["unknown"] == ["user.scopes"]
    assert desk.json("explain", "bundle.yaml", "--audit", "log", "--reference", "R-3-1", code=1)["verdict"] == "deny"
    assert "no decision with the reference" in desk("explain", "bundle.yaml", "--audit", "log", "--reference", "R-9-9", code=3)


def test_what_was_redacted_or_cut_is_not_known(desk):
    desk.write("log", line("/persons/[redacted]", person=1) + line(groups=["officers", "[cut]"], person=2))
    assert "redacted" in desk("explain", "bundle.yaml", "--audit", "log", "--reference", "R-1-1", code=4)
    said = desk.json("explain", "bundle.yaml", "--audit", "log", "--reference", "R-2-1", code=4)
    assert "user.groups" in said["unknown"]


LONG = "officers-who-read-all-declarations"
SCREENS = {
    "explain": (["bundle.yaml", "--facts", "facts.yaml"], 1), "who-can": (["tax", "GET", "/declarations/1", "bundle.yaml"], 0),
    "what-can": (["bundle.yaml", "--groups", "officers", "--scopes", "x"], 0), "diff": (["bundle.yaml", "new.yaml"], 1),
    "replay": (["new.yaml", "--audit", "log"], 1), "shadow-report": (["--audit", "log"], 1),
    "test": (["--coverage", "bundle.yaml"], 0), "show": (["./bundle.yaml"], 0),
}


def on_a_terminal(desk, *words, **environment):
    ours, theirs = pty.openpty()
    done = subprocess.Popen([desk.belfry, "policy", *words], stdout=theirs, stderr=subprocess.DEVNULL, cwd=desk.folder,
                            env=os.environ | {"COLUMNS": "60"} | environment)
    os.close(theirs)
    said = b""
    try:
        while more := os.read(ours, 65536):
            said += more
    except OSError:  # the other end is closed, and all is read
        pass
    os.close(ours)
    return said.decode(), done.wait(timeout=60)


@pytest.mark.parametrize("verb", SCREENS)
def test_colour_is_for_terminals_and_width_is_respected(desk, verb):
    longer = ("officers-read", LONG)
    desk.bundle("bundle.yaml", longer)
    desk.bundle("new.yaml", longer, ("user.acr_level >= 400", "user.acr_level >= 300 || has(user.client_id)"),
                ('"officers" in user.groups && device', '"chiefs" in user.groups && device'))
    desk.write("facts.yaml", f"given: {{ user: {{ groups: [officers] }} }}\nrequest: GET https://{HOST}/own/1\n")
    desk.write("log", line(**{"belfry.shadow.rule": LONG, "service.name": "tax", "rule.id": LONG}) + line("/own/1", reason="denied", person=2))
    words, code = SCREENS[verb]
    assert "\033[" not in desk(verb, *words, code=code)
    coloured, seen = on_a_terminal(desk, verb, *words, NO_COLOR="")
    assert ("\033[" in coloured) is (verb != "show") and seen == code
    plain, _ = on_a_terminal(desk, verb, *words, NO_COLOR="1")
    assert "\033[" not in plain
    rows = [row for row in plain.split("\r\n") if not re.match("(./)?bundle.yaml", row)]  # places are for programs, too
    assert max(map(len, rows)) <= 60 or verb == "show", plain


# coverage


def test_coverage_names_the_rules_that_no_test_reaches(desk):
    said = " ".join(desk("test", "bundle.yaml").split())
    assert "coverage: 1 of 5 rules are reached by a test; not tax/officers-write, tax/scoped, tax/nothing-secret" in said
    said = desk("test", "--coverage", "bundle.yaml")
    assert "reached   tax/officers-read by 'an officer reads'" in said and "untested  tax/scoped" in said
    desk.write("more.yaml", BUNDLE + f"""  - name: no secrets
    given: {{ user: {{ groups: [officers], acr_level: 500 }} }}
    request: POST https://{HOST}/declarations/secret/1
    expect: deny by nothing-secret
""")
    assert "coverage: 3 of 5 rules" in desk("test", "more.yaml")


def test_each_test_that_fails_is_told_however_many_do(desk):
    desk.write("more.yaml", BUNDLE + "".join(f"""  - name: t{number}
    request: GET https://{HOST}/nowhere
    expect: {"deny" if number == 7 else "permit"}
""" for number in range(300)))
    said = desk("test", "more.yaml", code=1)
    assert re.findall("^ok +(.*)$", said, re.M) == ["an officer reads", "t7"] and said.count("FAIL t") == 299


def test_tests_that_are_too_costly_together_neither_passed_nor_failed(desk):
    costly = "".join(f"      - {{ id: r{n}, permit: {{}}, when: 'user.groups.exists(a, a in user.scopes)' }}\n" for n in range(100))
    desk.bundle("costly.yaml", ("    rules:\n", "    rules:\n" + costly), ("tests:\n", "tests:\n" + "".join(
        f"  - {{ name: t{n}, request: 'GET https://{HOST}/', expect: deny }}\n" for n in range(200))))
    said = desk("test", "costly.yaml", code=1)
    assert "[too-costly]" in said and "-    t7\n" in said and not re.search("^(ok|FAIL|coverage)", said, re.M)
    (said,) = desk.json("test", "costly.yaml", code=1)
    assert {one["passed"] for one in said["tests"]} == {None} and "coverage" not in said


# show


def test_show_says_what_is_in_shadow(desk):
    said = desk("show", "./bundle.yaml")
    assert "shadow" not in said
    shadow = ("paths: [\"/own/**\"] }\n", "paths: [\"/own/**\"] }\n        mode: shadow\n")
    desk.bundle("rule.yaml", shadow)
    assert "  shadow   tax/scoped decides nothing (mode: shadow)\n" in desk("show", "./rule.yaml")
    (said,) = desk.json("show", "./rule.yaml")
    assert (said["mode"], said["rules_in_shadow"]) == ("decides", [{"application": "tax", "rule": "scoped"}])
    desk.bundle("trial.yaml", ("serial: 1\n", "serial: 1\nmode: shadow\n"))
    said = desk("show", "./trial.yaml")
    assert re.search("(?m)^./trial.yaml .* in shadow, ", said) and "  shadow   the whole bundle decides nothing" in said
    (said,) = desk.json("show", "./trial.yaml")
    assert (said["mode"], said["rules_in_shadow"]) == ("shadow", [])
    desk.write("charter.yaml", CHARTER.replace("    - id: level\n", "    - id: level\n      mode: shadow\n"))
    assert "  shadow   baseline/level decides nothing" in desk("show", "./charter.yaml")


def test_show_lists_what_is_to_be_reviewed_and_what_has_expired(desk):
    desk.bundle("due.yaml", ("id: scoped\n", "id: scoped\n        owner: an\n        review_by: 2020-01-01T00:00:00Z\n"))
    said = desk("show", "./due.yaml")
    assert "  overdue  tax/scoped was to be reviewed by 2020-01-01T00:00:00Z  an\n" in said
    assert "  expired  tax/long-ago does nothing since 2020-01-01T00:00:00Z\n" in said
    (told,) = desk.json("show", "./due.yaml")
    assert [(one["rule"], one["state"], one["owner"]) for one in told["rules_overdue"]] == [
        ("scoped", "overdue", "an"), ("long-ago", "expired", "")]


@pytest.mark.parametrize("fact, is_warned", [
    ("device.compliant", False), ("device.last_seen", False), ("device.attributes", False), ("device.owner", False),
    ("user.client_id", False), ("request.query", False), ("request.query_parameters", False), ("user.id", False),
    ("device.key_bits", True), ("device.not_after", True), ("user.groups", True), ("user.acr_level", True), ("request.time", True),
])
def test_only_of_what_is_never_missing_is_it_said_that_it_is_always_there(desk, fact, is_warned):
    desk.bundle("has.yaml", ('"own" in user.scopes', f'"own" in user.scopes && has({fact})'))
    assert (f"has({fact}) holds for everyone" in desk("check", "has.yaml")) is is_warned


# who-can, what-can


def test_who_can_says_what_each_rule_asks_for(desk):
    said = desk.json("who-can", "tax", "GET", "/declarations/7", "bundle.yaml")
    assert [(r["rule"], r["all_of"]) for r in said["rules"]] == [
        ("officers-read", ['in the group "officers"', 'device.trust is "managed"'])]
    desk.write("charter.yaml", CHARTER)
    said = desk.json("who-can", HOST, "GET", "/declarations/7", "bundle.yaml", "--charter", "charter.yaml")
    assert said["rules"][0] == {"rule": "level", "effect": "require", "baseline": True, "never": False,
                                "all_of": ["user.acr_level is at least 300"]}
    assert "nobody" in desk("who-can", "tax", "GET", "/declarations/secret/7", "bundle.yaml", code=1)
    assert desk.json("who-can", "tax", "GET", "/nowhere", "bundle.yaml", code=1)["rules"] == []
    assert desk.json("who-can", "tax", "GET", "/gone/1", "bundle.yaml", code=1)["rules"] == []
    assert "no application 'tix'; it has tax" in desk("who-can", "tix", "GET", "/", "bundle.yaml", code=3)


def test_who_can_reckons_with_what_is_known_of_the_request(desk):
    both = '\'"officers" in user.groups && device.trust == "managed"\''
    desk.bundle("path.yaml", (both, "'request.path.startsWith(\"/declarations/7\") && \"officers\" in user.groups'"))
    assert [r["all_of"] for r in desk.json("who-can", "tax", "GET", "/declarations/7", "path.yaml")["rules"]] == [
        ['in the group "officers"']]
    assert desk.json("who-can", "tax", "GET", "/declarations/8", "path.yaml", code=1)["rules"] == []


def test_what_can_tells_hits_from_what_hangs_on_more(desk):
    def marks(*words, code=0):
        said = desk.json("what-can", "bundle.yaml", *words, code=code)
        return {rule["rule"]: rule["mark"] for rule in said[0]["rules"]}, said[0]

    assert marks("--groups", "officers,others", "--device", "managed")[0] == {
        "officers-read": "hit", "officers-write": "may", "scoped": "may", "nothing-secret": "hit"}
    assert marks("--groups", "officers", "--level", "400", "--scopes", "", "--device", "managed")[0] == {
        "officers-read": "hit", "officers-write": "hit", "nothing-secret": "hit"}
    assert marks("--groups", "guests", "--scopes", "x", "--device", "managed", code=1)[0] == {}
    desk.bundle("bundle.yaml", ("device: optional", "device: required"))
    assert "certificate" in marks("--groups", "officers", "--level", "400", code=1)[1]["no_way"]


def test_whom_an_application_never_has_is_not_reckoned_with(desk):
    """No certificate is asked for with `device: none`, and nobody signs in where there is no provider."""
    def hits(*words, code=0):
        return {rule["rule"]: rule["mark"] for rule in desk.json("what-can", "bundle.yaml", *words, code=code)[0]["rules"]}

    service = ("- id: scoped\n", "- id: robots\n        permit: { paths: [\"/robots\"] }\n        when: 'service.id == \"robot\"'\n"
               "      - id: scoped\n")
    desk.bundle("bundle.yaml", service)
    assert hits("--service", "robot", "--device", "service") == {"robots": "hit", "nothing-secret": "hit",
                                                                 "officers-write": "may", "scoped": "may"}
    assert desk.json("who-can", "tax", "GET", "/robots", "bundle.yaml")["somebody_can"]
    desk.bundle("bundle.yaml", service, ("device: optional", "device: none"))
    assert hits("--service", "robot", "--groups", "officers", "--level", "400", "--scopes", "", "--device", "managed") == {
        "officers-write": "hit", "nothing-secret": "hit"}
    for path in ("/robots", "/declarations/1"):
        assert not desk.json("who-can", "tax", "GET", path, "bundle.yaml", code=1)["somebody_can"]
    assert desk.json("who-can", "tax", "POST", "/declarations/1", "bundle.yaml")["somebody_can"]
    desk.bundle("bundle.yaml", service, ("    identity_providers: [fas]\n", ""))
    assert hits("--groups", "officers", "--level", "400", "--service", "robot", "--device", "managed") == {
        "robots": "hit", "nothing-secret": "hit"}
    assert not desk.json("who-can", "tax", "POST", "/declarations/1", "bundle.yaml", code=1)["somebody_can"]


def test_who_can_of_a_path_that_is_not_let_in_answers_machines_too(desk):
    said = desk.json("who-can", "tax", "GET", "/a/../b", "bundle.yaml", code=1)
    assert (said["somebody_can"], said["reason"], said["rules"]) == (False, "path_ambiguous", [])


# diff


WRITE = '"officers" in user.groups && user.acr_level'


@pytest.mark.parametrize("change", [
    ("user.acr_level >= 400", "user.acr_level > 399"),
    ('"officers" in user.groups && device.trust == "managed"', 'device.trust == "managed" && "officers" in user.groups'),
    (WRITE, '!(!("officers" in user.groups)) && user.acr_level'),
    ('["/own/**"]', '["/own", "/own/", "/own/{x}/**"]'),
    ("[GET, HEAD]", "[HEAD, GET]"),
    ("id: scoped", "id: renamed"),
    ('when: \'user.provider == "fas"\'', "when: 'user.acr_level > 1'"),  # of a rule that has expired
])
def test_diff_finds_no_difference_where_there_is_none(desk, change):
    desk.bundle("old.yaml")
    desk.bundle("new.yaml", change)
    assert "no difference" in desk("diff", "old.yaml", "new.yaml")
    assert desk.json("diff", "old.yaml", "new.yaml")["verdict"] == "same"


@pytest.mark.parametrize("change, becomes, asked, facts", [
    (("user.acr_level >= 400", "user.acr_level >= 300"), "permit", "POST /declarations",
     ['user.groups = ["officers"]', "user.acr_level = 300"]),
    (("user.acr_level >= 400", "user.acr_level >= 500"), "deny", "POST /declarations",
     ['user.groups = ["officers"]', "user.acr_level = 400"]),
    (("[POST]", "[POST, PUT]"), "permit", "PUT /declarations", ['user.groups = ["officers"]', "user.acr_level = 400"]),
    (("/declarations/secret/**", "/declarations/secret*/**"), "deny", "GET /declarations/secret~",
     ['user.groups = ["officers"]', 'device.trust = "managed"']),
    (('["/own/**"]', '["/own/{x}"]'), "deny", "GET /own", ['user.scopes = ["own"]']),
    (('["/own/**"]', '["/own/**", "/mine"]'), "permit", "GET /mine", ['user.scopes = ["own"]']),
    ((WRITE, '(user.id.startsWith("fas:") || "officers" in user.groups) && user.acr_level'), "permit", "POST /declarations",
     ['user.id = "fas:"', "user.acr_level = 400"]),
    (('"own" in user.scopes', 'has(user.client_id) && "own" in user.scopes'), "deny", "GET /own", ['user.scopes = ["own"]']),
])
def test_diff_shows_a_smallest_request_that_changes_hands(desk, change, becomes, asked, facts):
    desk.bundle("old.yaml")
    desk.bundle("new.yaml", change)
    said = desk.json("diff", "old.yaml", "new.yaml", code=1)
    (application,) = said["applications"]
    assert (becomes, asked, facts) in [(c["becomes"], c["request"], c["facts"]) for c in application["classes"]]
    assert {c["becomes"] for c in application["classes"]} == {becomes} and not application["doubts"]


def test_diff_of_the_same_under_a_baseline_that_forbids_the_change(desk):
    desk.write("charter.yaml", CHARTER.replace("  require:", "  forbid:\n    - { id: no-put, methods: [PUT] }\n  require:"))
    desk.bundle("old.yaml")
    desk.bundle("new.yaml", ("[POST]", "[POST, PUT]"))
    desk("diff", "old.yaml", "new.yaml", code=1)
    assert "no difference" in desk("diff", "old.yaml", "new.yaml", "--charter", "charter.yaml")


def test_diff_says_where_it_cannot_tell(desk):
    desk.bundle("old.yaml")
    desk.bundle("new.yaml", (WRITE, '(request.time > timestamp("2999-01-01T00:00:00Z") || "officers" in user.groups) '
                                              "&& user.acr_level"))
    said = desk("diff", "old.yaml", "new.yaml", code=4)
    assert "can't be told" in said and 'request.time > timestamp("2999-01-01T00:00:00Z") may make a difference' in said
    desk.bundle("new.yaml", ("device: optional", "device: required_by_tls"))
    said = desk.json("diff", "old.yaml", "new.yaml", code=1)["applications"][0]
    assert said["doubts"] and {c["deny_reason"] for c in said["classes"]} == {"device_required"}


OWN = 'when: \'"own" in user.scopes\''
CASES = (('["/own/**"]', '["/own/{case}"]'), (OWN, "when: 'path.case in user.groups'"))


def test_segments_that_conditions_name_are_known_to_the_tools(desk):
    desk.bundle("bundle.yaml", *CASES)
    assert desk.explain("{ user: { groups: [c7] } }", f"GET https://{HOST}/own/c7", code=0)[0]["rule"] == "scoped"
    assert desk.explain("{ user: { groups: [c7] } }", f"GET https://{HOST}/own/c8", code=1)[1]["scoped"]["mark"] == "miss"
    desk.write("log", line("/own/c7", groups=["c7"]) + line("/own/c8", groups=["c7"], reason="denied"))
    assert desk.json("replay", "bundle.yaml", "--audit", "log")["changed"] == 0
    said = desk.json("what-can", "bundle.yaml", "--groups", "c7", "--scopes", "x", "--level", "0")
    assert [(r["rule"], r["mark"]) for r in said[0]["rules"] if r["effect"] == "permit"] == [("scoped", "may")]
    desk.bundle("old.yaml", *CASES)
    assert "no difference" in desk("diff", "old.yaml", "bundle.yaml")
    desk.bundle("new.yaml", ('["/own/**"]', '["/own/{case}"]'), (OWN, "when: '!(path.case in user.groups)'"))
    said = desk("diff", "old.yaml", "new.yaml", code=1)
    assert "gains  GET" in said and "may make a difference, to GET /own/" in said


def test_diff_does_not_call_other_authorities_the_same(desk):
    desk.bundle("new.yaml", ("trust: managed\n", "trust: tended\n"))
    assert "authorities differ" in desk("diff", "bundle.yaml", "new.yaml", code=4)


def test_diff_sees_applications_come_and_go(desk):
    desk.bundle("new.yaml", ("host: tax.finance", "host: tux.finance"), (f"https://{HOST}", "https://tux.finance.localhost"))
    said = desk.json("diff", "bundle.yaml", "new.yaml", code=1)
    assert [(a["host"], {c["becomes"] for c in a["classes"]}) for a in said["applications"]] == [
        (HOST, {"deny"}), ("tux.finance.localhost", {"permit"})]


# replay


def test_replay_counts_persons_and_devices_of_what_would_change(desk):
    desk.bundle("new.yaml", ('"officers" in user.groups && device', '"chiefs" in user.groups && device'))
    desk.write("log", "".join([
        line(person=1, device=1), line(person=1, device=2), line(person=2, device=2),
        line(person=3, device=3, groups=["chiefs"], reason="denied", **{"rule.id": "officers-read"}),
        line(person=4, groups=["guests"], reason="denied"),
        line(person=5, **{"event.action": "access-end"}), line(person=6, reason="token_expired"), "no line\n"]))
    said = desk.json("replay", "new.yaml", "--audit", "log", code=1)
    assert {key: said[key] for key in ("lines", "decisions", "others", "not_understood", "changed", "unknown")} == {
        "lines": 8, "decisions": 5, "others": 2, "not_understood": 1, "changed": 4, "unknown": 0}
    lost, won = said["changes"]
    assert (lost["becomes"], lost["decisions"], lost["persons"], lost["devices"]) == ("deny", 3, 2, 2)
    assert (won["becomes"], won["now_by"], won["decisions"], won["persons"]) == ("permit", "officers-read", 1, 1)
    assert lost["reference"] == "R-1-1" and lost["request"] == f"GET https://{HOST}/declarations/1"
    assert "3 decisions, 2 persons, 2 devices" in desk("replay", "new.yaml", "--audit", "log", code=1)


def test_replay_of_the_same_bundle_changes_nothing(desk):
    desk.write("log", line() + line("/declarations/secret/1", reason="forbidden", **{"rule.id": "nothing-secret"}))
    assert desk.json("replay", "bundle.yaml", "--audit", "log")["changed"] == 0


def test_replay_reads_lines_that_their_keeper_has_spaced_out(desk):
    desk.bundle("new.yaml", ('"officers" in user.groups && device', '"chiefs" in user.groups && device'))
    spaced = json.dumps(json.loads(line(groups=["chiefs", "officers"])), separators=(" , ", " : "))
    desk.write("log", spaced.replace("{", "{ ").replace("}", " }").replace("[", "[ ") + "\n" + line(groups=["officers"]))
    said = desk.json("replay", "new.yaml", "--audit", "log", code=1)
    assert (said["decisions"], said["not_understood"], said["changed"]) == (2, 0, 1)
    tabbed = json.dumps(json.loads(line(method="POST")), separators=("\t,\t", "\t:\t"))
    desk.write("log", tabbed + "\n")
    assert desk.json("replay", "bundle.yaml", "--audit", "log")["changed"] == 0, "its level is read"


def test_a_log_that_is_not_understood_is_not_called_unchanged(desk):
    desk.write("log", line() + "no line\n")
    assert "1 not understood" in desk("replay", "bundle.yaml", "--audit", "log", code=4)
    assert "1 not understood" in desk("shadow-report", "--audit", "log", code=4)


def test_replay_leaves_out_who_signed_in_or_out(desk):
    own = [line("/.belfry/callback", **{"event.action": "sign-in"}), line("/.belfry/sign-out", "POST", **{"event.action": "sign-out"}),
           line("/.belfry/callback", reason="assurance_too_low", **{"event.action": "access-refused"})]
    desk.write("log", "".join(own) + line())
    said = desk.json("replay", "bundle.yaml", "--audit", "log")
    assert (said["decisions"], said["others"], said["changed"]) == (1, 3, 0)


def test_replay_counts_what_the_log_does_not_hold_and_guesses_nothing(desk):
    desk.bundle("new.yaml", ('when: \'"own" in', 'when: \'has(user.client_id) || "own" in'))
    desk.write("log", line("/own/1", reason="denied") + line("/own/2", reason="permitted", person=2) +
               line("/own/3", reason="identity_required", person=0) + line("/a[redacted]", person=3))
    said = desk.json("replay", "new.yaml", "--audit", "log", code=4)
    assert (said["decisions"], said["changed"], said["unknown"]) == (4, 0, 3)
    assert said["facts_not_held"] == ["user.client_id", "user.scopes"]
    assert {(u["why"], u["decisions"]) for u in said["unknowns"]} == {("rule scoped", 2), ("its path was redacted or cut", 1)}


def test_replay_with_the_old_bundle_tells_its_change_from_all_else(desk):
    desk.bundle("new.yaml", ("[POST]", "[POST, PUT]"))
    # The log says that officers were refused: for another reason than these rules.
    desk.write("log", line(reason="denied") + line(method="PUT", reason="denied", person=2))
    assert desk.json("replay", "new.yaml", "--audit", "log", code=1)["changed"] == 2
    said = desk.json("replay", "new.yaml", "--audit", "log", "--old", "bundle.yaml", code=1)
    assert (said["changed"], said["unexplained"]) == (1, 1) and said["changes"][0]["now_by"] == "officers-write"


EVIL = "\x1b]0;x\x07\x1b[31m\x9b2J\x7f"  # a title, red, an empty screen


def shown(desk, *words, code):
    """What a person reads of it, standard error too."""
    done = subprocess.run([desk.belfry, "policy", *words], cwd=desk.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    both = done.stdout + done.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", both), both
    return both


def test_a_forged_log_does_not_steer_a_terminal(desk):
    desk.bundle("new.yaml", ('"officers" in user.groups && device', '"chiefs" in user.groups && device'))
    forged = line(**{"event.id": f"R{EVIL}", "rule.id": f"{EVIL}rule", "organization.id": "fod-finance", "service.name": f"{EVIL}app",
                     "belfry.shadow.rule": f"{EVIL}tried", "belfry.shadow.bundle": f"7{EVIL}", "belfry.shadow.bundle_rule": f"{EVIL}other",
                     "@timestamp": f"{EVIL}2026-11-24"})
    desk.write("log", forged + line("/own/2", reason="denied", person=2))
    assert "rule; now: no rule permits" in shown(desk, "replay", "new.yaml", "--audit", "log", code=1)
    assert "tried" in shown(desk, "shadow-report", "--audit", "log", code=1)
    desk.write("log", line(**{"event.id": "R", "rule.id": f"{EVIL}rule"}))
    assert "recorded: permitted, rule ?" in shown(desk, "explain", "bundle.yaml", "--audit", "log", "--reference", "R", code=0)
    desk.write("log", line(**{"event.id": "R", "url.domain": f"{EVIL}host"}))
    assert "host'" in shown(desk, "explain", "bundle.yaml", "--audit", "log", "--reference", "R", code=3)


def test_a_bundle_does_not_steer_a_terminal(desk):
    desk.bundle("bundle.yaml", ("- id: scoped\n", '- id: scoped\n        owner: "\\x9b31mteam"\n        purpose: "\\x9b2J"\n'),
                ("- name: an officer reads", '- name: "an officer \\x9b31mreads"'),
                ("when: '\"own\" in user.scopes'", 'when: "\\"\\e[31mown\\x9b\\" in user.scopes"'))
    assert "31mown" in shown(desk, "check", "bundle.yaml", "--verbose", code=0)
    assert "reads" in shown(desk, "test", "bundle.yaml", code=0)
    assert "reads" in shown(desk, "test", "bundle.yaml", "--coverage", code=0)
    shown(desk, "who-can", "tax", "GET", "/own/1", "bundle.yaml", code=0)
    shown(desk, "what-can", "bundle.yaml", "--groups", "officers", "--level", "0", code=0)
    desk.bundle("old.yaml")
    shown(desk, "diff", "old.yaml", "bundle.yaml", code=1)


def test_replay_sees_an_application_that_goes(desk):
    desk.bundle("new.yaml", ("host: tax.finance", "host: tux.finance"), (f"https://{HOST}", "https://tux.finance.localhost"))
    desk.write("log", line() + line(**{"organization.id": "other", "url.domain": "a.localhost"}))
    said = desk.json("replay", "new.yaml", "--audit", "log", code=1)
    assert (said["decisions"], said["others"]) == (1, 1) and said["changes"][0]["now_by"] == "no application has that host"


# shadow-report


def test_shadow_report_tells_what_each_rule_would_have_changed(desk):
    def seen(minute, **more):
        return line(**more, **{"@timestamp": f"2026-11-24T12:{minute:02}:00.000001Z", "service.name": "tax"})
    trial, opening = {"belfry.shadow.rule": "trial"}, {"belfry.shadow.rule": "opening"}
    desk.write("log", seen(5, person=1, **trial) + seen(3, person=1, device=2, **trial) + seen(7, person=2, **trial))
    desk.write("log2", seen(9, person=2, reason="denied", **opening) + seen(1) + "no line\n" +
               seen(2, **trial, **{"event.action": "access-end"}))
    said = desk.json("shadow-report", "--audit", "log", "--audit", "log2", code=1)
    closes, opens = said.pop("shadows")
    assert said == {"lines": 7, "decisions": 5, "not_understood": 1, "changed": 4}
    assert closes == {"rule": "rule trial", "entity": "fod-finance", "application": "tax", "becomes": "deny", "requests": 3,
                      "persons": 2, "devices": 2, "first": "2026-11-24T12:03:00.000001Z", "last": "2026-11-24T12:07:00.000001Z",
                      "reference": "R-1-1", "request": f"GET https://{HOST}/declarations/1"}
    assert (opens["rule"], opens["becomes"], opens["requests"]) == ("rule opening", "permit", 1)
    text = desk("shadow-report", "--audit", "log", "--audit", "log2", code=1)
    assert "3 requests, 2 persons, 2 devices" in text and "4 would have been decided otherwise" in text


def test_shadow_report_of_nothing_changed_and_of_no_log(desk):
    desk.write("log", line())
    assert "0 would have been decided otherwise" in desk("shadow-report", "--audit", "log")
    desk("shadow-report", code=2)
    assert "cannot open" in desk("shadow-report", "--audit", "nowhere", code=3)


def test_what_is_not_understood_is_told(desk):
    for words in (["explain", "bundle.yaml"], ["explain", "bundle.yaml", "--audit", "x"], ["replay", "bundle.yaml"],
                  ["who-can", "tax", "GET", "bundle.yaml"], ["what-can"], ["what-can", "bundle.yaml", "--level", "high"]):
        assert f"belfry policy {words[0]}" in desk(*words, code=2)
    assert "cannot open" in desk("replay", "bundle.yaml", "--audit", "nowhere", code=3)
