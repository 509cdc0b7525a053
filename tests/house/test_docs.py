# SPDX-License-Identifier: EUPL-1.2
"""The documentation says what the tables and sources of the code say: no fact, configuration key, reason, metric,
audit field, policy key, function or finding is missing from it or surplus in it, and what it names exists."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "certs/README.md"])
ROOMS = ("audit", "auth", "base", "cli", "policy", "proxy")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
CHARACTER = re.compile(r"'(?:[^'\\]|\\.)'")
# What a comment could be taken for stands before it: strings and characters.
COMMENT = re.compile(r'("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)\')|/\*.*?\*/|//[^\n]*', re.S)


def text(path):
    return (ROOT / path).read_text()


def section(page, title):
    """What stands below that heading, up to the next one of its level or above."""
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", text(page), re.M | re.S)
    assert match, f"{page} has no section '{title}'"
    return match[2]


def rows(part):
    """The tables' rows whose first cell is code: {name: [the other cells]}. A name that stands twice is a fault."""
    found = {}
    for line in part.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and (match := re.fullmatch(r"`([^`]+)`", cells[0])):
            assert match[1] not in found, f"'{match[1]}' stands twice"
            found[match[1]] = cells[1:]
    return found


def table(path, macro):
    """The arguments of each MACRO(...) of a .def file; strings without their quotes."""
    lines = [line for line in text(path).splitlines() if line.startswith(macro + "(")]
    return [arguments(line[len(macro):]) for line in lines]


def arguments(source):
    """The arguments of a call that begins at the '(' in front; strings that stand side by side become one."""
    out, current, depth, at = [], "", 0, 0
    while at < len(source):
        char = source[at]
        if char in "\"'":
            string = STRING.match(source, at) or CHARACTER.match(source, at)
            current += string[0]
            at = string.end()
            continue
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        if depth == 0 or (depth == 1 and char == ","):
            out.append(current.strip())
            current = ""
            if depth == 0:
                break
        elif not (depth == 1 and char == "("):
            current += char
        at += 1
    return [STRING.sub(lambda m: m[1], word) if STRING.fullmatch(word) else word for word in out]


def sources():
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.c")):
            yield path, COMMENT.sub(lambda match: match[1] or " ", path.read_text())


def names(written, documented, what):
    assert sorted(set(written) - set(documented)) == [], f"{what}: not documented"
    assert sorted(set(documented) - set(written)) == [], f"{what}: documented, but not there"


def test_every_fact_is_documented():
    facts = {f"{root}.{name}": kind.lower() for root, name, kind, _ in table("policy/fact.def", "FACT")}
    facts |= {f"{root}.NAME": kind.lower() for _, root, kind, _ in table("policy/fact.def", "NAMED_FACT")}
    said = rows(section("docs/policy.md", "Facts"))
    names(facts, said, "facts")
    kinds = {"string": "string", "strings": "list of string", "int": "int", "bool": "bool", "timestamp": "timestamp",
             "duration": "duration", "map": "map of string to string",
             "lists": "map of string to list of string"}
    assert {name: cells[0] for name, cells in said.items()} == {name: kinds[kind] for name, kind in facts.items()}


KINDS = {"DURATION": "duration", "BYTES": "size", "COUNT": "count"}
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000,
         "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "": 1}


def value(words):
    match = re.fullmatch(r"([\d,]+)(ms|s|m|h|d|KiB|MiB|GiB|TiB|)", words.strip("`"))
    assert match, f"'{words}' is no number with a unit"
    return int(match[1].replace(",", "")) * UNITS[match[2]]


def test_every_configuration_key_is_documented_with_its_default_and_range():
    said = rows(text("docs/configuration.md"))
    written = {}
    for section_name, name, kind, _, default, least, most, _ in table("proxy/config.def", "NUMBER"):
        written[".".join(filter(None, (section_name, name)))] = (KINDS[kind], int(default), int(least), int(most))
    for section_name, name, _, default, _ in table("proxy/config.def", "TEXT"):
        written[".".join(filter(None, (section_name, name)))] = ("text", default)
    for section_name, name, _ in table("proxy/config.def", "SPECIAL"):
        written[".".join(filter(None, (section_name, name)))] = None
    names(written, said, "configuration keys")
    for key, what in written.items():
        if not what:
            continue
        kind, default, limits = said[key][:3]
        assert kind == what[0], key
        if kind == "text":
            wanted = {"NULL": "required", "": "none"}.get(what[1], f"`{what[1]}`")
            assert default == wanted, key
        else:
            assert value(default) == what[1], key
            least, most = limits.split(" to ")
            assert (value(least), value(most)) == what[2:], key


def test_what_a_reload_takes_over_is_documented():
    block = re.search(r"is_reloadable\(.*?names\[\] = \{(.*?)\};", text("proxy/config.c"), re.S)[1]
    taken = {name.lstrip(".") for name in STRING.findall(block)} | {"trust.federation_keys", "store.cleartext"}
    said = rows(text("docs/configuration.md"))
    assert {key for key, cells in said.items() if cells[3].startswith("yes")} == taken
    assert {cells[3].split(",")[0] for cells in said.values()} == {"yes", "refused"}


def test_the_example_of_a_configuration_has_every_key_and_shows_the_defaults():
    lines = [re.sub(r"^(\s*)# (\s*[a-z_]+:( |$))", r"\1\2", line) for line in text("packaging/belfry.yaml.example").splitlines()]
    tree = yaml.safe_load("\n".join(lines))
    shown = {}
    for key, inner in tree.items():
        shown |= {f"{key}.{name}": value for name, value in inner.items()} if isinstance(inner, dict) else {key: inner}
    said = rows(text("docs/configuration.md"))
    names(said, shown, "keys of packaging/belfry.yaml.example")
    for key, (kind, default, *_) in said.items():
        if kind in KINDS.values():
            assert value(str(shown[key])) == value(default), key


def test_every_reason_is_documented_with_its_status():
    reasons = {name: status for _, name, status, _, _ in table("include/belfry/reason.def", "REASON")}
    said = rows(section("docs/operations.md", "Reasons"))
    names(reasons, said, "reasons")
    assert {name: cells[0] for name, cells in said.items()} == {
        name: "none" if status == "0" else status for name, status in reasons.items()}


def test_the_help_desk_knows_every_page():
    """By the code and the heading that people read out, in one line; those of the labels are pages without a code."""
    english = dict(re.findall(r'^MESSAGE\((\w+),.*?EN\("([^"]*)"', text("proxy/pages/messages.def"), re.M | re.S))
    headings = english | {name: english[other] for name, other in table("proxy/pages/messages.def", "SAME")}
    reasons = {name.lower(): headings[name] for name, _, status, *_ in table("include/belfry/reason.def", "REASON")
               if int(status) >= 400}
    for name in [*reasons]:  # a caller is not told what is wrong with a token, nor with a proof
        if name.startswith("token_") and name != "token_malformed" or name == "dpop_replayed":
            del reasons[name]
    said = {}
    for line in section("docs/staff-support.md", "By the error code").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        for code in re.findall(r"`(\w+)`", cells[0]) if len(cells) == 4 else ():
            assert code not in said and all(cells), f"'{code}' stands twice, or a cell is empty"
            said[code] = cells[1]
    names(reasons, said, "pages with a code")
    assert [code for code, heading in reasons.items() if heading not in said[code]] == []
    page = section("docs/staff-support.md", "Pages without an error code")
    labels = dict(re.findall(r'^LABEL\((\w+),.*?"([^"]*)"\)$', text("proxy/pages/messages.def"), re.M | re.S))
    for name in ("CHOOSE", "KEPT", "STEP_UP", "RESEND", "ONWARD", "MOMENT", "SIGN_OUT_ASK", "SIGNED_OUT",
                 "SIGNED_OUT_HERE", "HOME", "SESSIONS", "WHOAMI"):
        assert labels[name] in page, name


def test_every_metric_is_documented_with_its_kind():
    metrics = {name: kind.split("_")[0] for _, name, kind, _ in table("base/metric.def", "METRIC")}
    metrics |= dict.fromkeys(re.findall(r"# TYPE (belfry_\w+) counter", text("base/metric.c")), "counter")
    said = rows(section("docs/operations.md", "Metrics"))
    names(metrics, said, "metrics")
    assert {name: cells[0] for name, cells in said.items()} == metrics


def test_every_audit_field_is_documented():
    source = text("audit/ecs.c")
    fields = set(re.findall(r'\\"(@?[a-z][\w.]*)\\":', source)) | set(re.findall(r'^    TEXT\("([\w.]+)"', source, re.M))
    names(fields, rows(section("docs/operations.md", "Audit")), "audit fields")


def test_every_key_of_charter_and_bundle_is_documented():
    written = set()
    for name in ("charter", "bundle", "load_provider", "load_provider_sign_in", "load_authority", "load_application", "load_upstream",
                 "load_rule", "load_test", "load_baseline"):
        for block in re.findall(r"static const struct slice keys\[\] = \{(.*?)\};", text(f"policy/{name}.c"), re.S):
            written |= set(re.findall(r'SLICE_INIT\("([\w.]+)"\)', block))
    said = set()
    for title in ("The charter", "The bundle", "Policy tests"):
        said |= {name.split(".")[-1] for name in rows(section("docs/policy.md", title)) if ":" not in name}
    names(written, said, "keys of charter and bundle")


def test_every_function_of_conditions_is_documented():
    source = text("policy/cel_call.c")
    written = set(re.findall(r'\{"(\w+)", CALL_', text("policy/cel_function.c")))
    for array in ("macros", "time_fields", "others", "left_out"):
        written |= set(re.findall(r'SLICE_INIT\("(\w+)"\)', re.search(rf"\b{array}\[\] = \{{(.*?)\}};", source, re.S)[1]))
    assert len(written) > 45  # else the sources were not read
    page = section("docs/policy.md", "Conditions")
    assert [name for name in sorted(written) if not re.search(rf"\b{name}\b", page)] == []


def finding_codes():
    """{code: {"error", "warning"}} of everything that the sources can find."""
    defined = dict(re.findall(r'#define (CEL_\w+) "([\w-]+)"', text("policy/cel_in.h")))
    calls = {"findings_error": (2, "error"), "findings_warn": (2, "warning"), "cel_error": (2, "error"),
             "cel_warn": (2, "warning"), "refuse_token": (3, "error")}
    found = {}
    for path, source in sources():
        for match in re.finditer(r"\b(" + "|".join(calls) + r")(?=\()", source):
            place, kind = calls[match[1]]
            words = arguments(source[match.end():])
            if len(words) <= place or source[:match.start()].endswith("void "):
                continue  # the function itself
            word = words[place]
            codes = [word] if re.fullmatch(r"[a-z]+(-[a-z]+)*", word) and word != "code" else STRING.findall(word)
            codes += [code for name, code in defined.items() if re.search(rf"\b{name}\b", word)]
            assert codes or word in ("code", "const char *code"), f"{path}: what code is '{word}'?"
            for code in codes:
                found.setdefault(code, set()).add(kind)
    return found


def test_every_finding_is_documented():
    codes = finding_codes()
    assert len(codes) > 50  # else the sources were not read
    said = rows(text("docs/policy-errors.md"))
    names(codes, said, "findings")
    assert {code: cells[0] for code, cells in said.items()} == {code: " or ".join(sorted(k)) for code, k in codes.items()}


def blocks(page, head):
    """The indented blocks of a page that begin with that line."""
    found, current = [], None
    for line in [*text(page).splitlines(), "end"]:
        if line == f"    {head}":
            current = []
        if current is not None and line and not line.startswith("    "):
            found.append("\n".join(current) + "\n")
            current = None
        if current is not None:
            current.append(line[4:])
    return found


@pytest.fixture(scope="module")
def belfry():
    found = pathlib.Path(os.environ.get("BELFRY", ROOT / "build/release/belfry"))
    assert found.exists(), f"{found} is not built; ./dev build release"
    return found


def test_the_examples_are_good_policy(belfry, tmp_path):
    subprocess.run([ROOT / "certs/make-test-pki", tmp_path / "pki"], check=True, capture_output=True)
    shutil.copy(tmp_path / "pki/ca/finance-devices.pem", tmp_path)
    for example in blocks("docs/policy.md", "belfry: charter/v1"):
        (tmp_path / "charter.yaml").write_text(example)
        charter = subprocess.run([belfry, "policy", "check", tmp_path / "charter.yaml"], capture_output=True, text=True)
        assert charter.returncode == 0, charter.stdout + charter.stderr
    (tmp_path / "finance.yaml").write_text(blocks("README.md", "belfry: entity/v1")[0])
    bundle = subprocess.run([belfry, "policy", "test", tmp_path / "finance.yaml"], capture_output=True, text=True)
    assert bundle.returncode == 0 and bundle.stdout.startswith("ok   an officer reads"), bundle.stdout + bundle.stderr


def test_the_man_page_has_every_form_of_every_command():
    """Letter by letter as --help prints them, and words on each command and option."""
    source, forms = text("cli/help.def"), []
    for match in re.finditer(r"(?m)^HELP(?=\()", source):
        name, lines = arguments(source[match.end():])[:2]
        lines = "".join(re.findall(r'"([^"]*)"', lines)) if '"' in lines else lines
        lines = re.sub(r"\n +", " ", lines.replace("\\n", "\n"))
        forms += [f"belfry {name} {line}".rstrip() for line in lines.split("\n")]
    assert len(forms) > 30  # else the source was not read
    page = re.sub(r"\\f[BIRP]", "", text("packaging/belfry.1")).replace("\\-", "-")
    synopsis, _, told = page.partition(".SH SYNOPSIS\n")[2].partition(".SH DESCRIPTION")
    said = [form.removeprefix(".B ").replace("\n", " ").strip() for form in synopsis.split("\n.br\n")]
    assert said == [*forms, "belfry help"]
    words = {option for form in forms for option in re.findall(r"--[a-z-]+", form)}
    words |= {re.match(r"belfry ((?:[a-z-]+ ?){1,2})", form)[1].strip() for form in forms}
    assert [word for word in sorted(words) if word not in told] == []


def test_alarms_are_of_metrics_and_reasons_that_there_are():
    page = section("docs/operations.md", "Alarms")
    metrics = {name for _, name, _, _ in table("base/metric.def", "METRIC")} | set(re.findall(r"# TYPE (belfry_\w+) counter", text("base/metric.c")))
    named = set(re.findall(r"\bbelfry_\w+", page))
    assert len(named) > 8 and named - metrics == set()
    reasons = {name for _, name, _, _, _ in table("include/belfry/reason.def", "REASON")}
    assert set(re.findall(r"\w+", re.search(r'reason=~"([^"]*)"', page)[1])) - reasons == set()


def known_tests():
    known = set()
    for path in (ROOT / "tests/unit").rglob("*.c"):
        room = f"{path.parent.name}/{path.stem}"
        known |= {f"{room}: {name}" for name in re.findall(r"^(?:Test|ParameterizedTest)\([^,]*?(\w+), (\w+)",
                                                          path.read_text(), re.M) for name in name[-1:]}
    for path in [*(ROOT / "tests/behaviour").glob("test_*.py"), *(ROOT / "tests/house").glob("test_*.py")]:
        known |= {f"{path.parent.name}/{path.stem}: {name}" for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)}
    return known


def test_security_names_tests_that_there_are():
    named = re.findall(r"`((?:policy|auth|audit|base|proxy|behaviour|house)/\w+: \w+)`", text("SECURITY.md"))
    assert len(named) > 30
    assert sorted(set(named) - known_tests()) == []


def anchors(page):
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_files_exist(page):
    words = page.read_text()
    missing = []
    for link, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", words):
        target = page.parent / link if link else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(f"{link}#{anchor}")
    for name in re.findall(r"`([\w./-]+\.(?:c|h|def|py|md|cmake|cnf|in))`", words):
        is_example = name.startswith("/") or re.search(r"[A-Z]{4}", name.rsplit(".", 1)[0])  # tests/fuzz/NOUN.c
        if "/" in name and not is_example and not (ROOT / name).exists():
            missing.append(name)
    assert missing == []


def test_each_row_of_what_is_away_names_a_test_that_there_is():
    tests = "".join(path.read_text() for path in (ROOT / "tests/behaviour").glob("test_*.py"))
    lines = [line for line in section("docs/operations.md", "When something is away").splitlines() if line[:1] == "|"]
    assert len(lines) > 8
    for line in lines[2:]:
        named = re.findall(r"`(test_\w+)`", line.rsplit("|", 2)[1])
        assert named and all(f"def {name}(" in tests for name in named), line
