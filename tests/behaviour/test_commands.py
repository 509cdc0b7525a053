# SPDX-License-Identifier: EUPL-1.2
"""Every command alike: it says what it does, with an example; answers machines in JSON; ends with the code that says how it
went; and tells what is wrong by file and place."""

import json
import os
import pty
import re
import subprocess

import pytest

from test_policy_tools import HOST, ROOT, desk, line, pki  # noqa: F401
from world import BELFRY

TEXT = r'"((?:[^"\\]|\\.)*)"'
COMMANDS = [tuple("".join(re.findall(TEXT, part)) for part in parts) for parts in re.findall(
    rf"^HELP\(({TEXT}),\s*((?:{TEXT}\s*)+),\s*({TEXT}),\s*({TEXT})\)", (ROOT / "cli/help.def").read_text(), re.M)
    for parts in [(parts[0], parts[2], parts[4], parts[6])]]
NAMES = [name for name, *_ in COMMANDS]
EXPLAIN = ["explain", "bundle.yaml", "--facts", "facts.yaml"]
# With a code that JSON and words have in common.
ANSWERS = [(["check", "bundle.yaml"], 0), (["check", "wrong.yaml"], 1), (["check", "bundle.yaml", "--verbose"], 0),
           (["check", "charter.yaml"], 0), (["test", "bundle.yaml"], 0), (["test", "failing.yaml"], 1),
           (["eval", "1 + 1"], 0), (["eval", "1 / 0"], 1), (EXPLAIN, 1), (["diff", "bundle.yaml", "bundle.yaml"], 0),
           (["diff", "bundle.yaml", "failing.yaml"], 0), (["diff", "bundle.yaml", "other.yaml"], 1),
           (["replay", "bundle.yaml", "--audit", "log"], 0), (["replay", "other.yaml", "--audit", "log"], 1),
           (["shadow-report", "--audit", "log"], 0),
           (["who-can", "tax", "GET", "/declarations/1", "bundle.yaml"], 0), (["who-can", "tax", "GET", "/no", "bundle.yaml"], 1),
           (["what-can", "bundle.yaml", "--groups", "officers"], 0), (["what-can", "bundle.yaml", "--scopes", "x", "--groups", "x",
                                                                       "--level", "0"], 1), (["show", "./bundle.yaml"], 0)]
MISSING = [["check", "no.yaml"], ["test", "no.yaml"], ["sign", "no.yaml", "--key", "k.pem", "--out", "x"], ["eval", "1", "--facts", "no.yaml"],
           ["explain", "bundle.yaml", "--facts", "no.yaml"], ["diff", "bundle.yaml", "no.yaml"],
           ["replay", "bundle.yaml", "--audit", "no.yaml"], ["shadow-report", "--audit", "no.yaml"], ["who-can", "tax", "GET", "/", "no.yaml"], ["what-can", "no.yaml"],
           ["show", "./no.yaml"], ["fmt", "no.yaml"], ["check", "bundle.yaml", "--charter", "no.yaml"]]


def run(words, cwd=None):
    return subprocess.run([BELFRY, *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, cwd=cwd,
                          env={**os.environ, "COLUMNS": "70"})


def on_a_terminal(words, **environment):
    head, tail = pty.openpty()
    done = subprocess.Popen([BELFRY, *words], stdout=tail, stderr=tail, env={**os.environ, **environment})
    os.close(tail)
    said = b""
    while True:
        try:
            more = os.read(head, 65536)
        except OSError:
            break
        if not more:
            break
        said += more
    os.close(head)
    done.wait(timeout=60)
    return said.decode()


def test_the_table_of_commands_is_the_one_that_is_run():
    assert len(NAMES) > 25 and len(set(NAMES)) == len(NAMES)
    source = (ROOT / "cli/policy.c").read_text()
    verbs = re.findall(r'{"([a-z-]+)", verb_', source)
    assert sorted(f"policy {verb}" for verb in verbs) == sorted(name for name in NAMES if name.startswith("policy "))
    commands = re.findall(r"^  belfry ([a-z]+)", run(["help"]).stdout, re.M)
    assert sorted(commands) == sorted({name.split()[0] for name in NAMES})


@pytest.mark.parametrize("name, forms, text, example", COMMANDS, ids=NAMES)
def test_each_command_says_what_it_does(name, forms, text, example):
    words = name.split()
    done = run([*words, "--help"])
    said = " ".join(done.stdout.split())
    assert (done.returncode, done.stderr) == (0, "") and said.startswith(f"belfry {name} belfry {name}")
    assert " ".join(text.replace('\\"', '"').split()) in said and f"For example: {example}".replace('\\"', '"') in said
    assert example.startswith(f"belfry {name}") and "Exit codes: 0 fine" in said and "\033" not in done.stdout
    prose = [row for row in done.stdout.splitlines() if "belfry" not in row]
    assert len(prose) > 2 and max(map(len, prose)) <= 70
    assert run([*words, "some", "--help"]).stdout == done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_understood_shows_how_it_is_used(name):
    done = run([*name.split(), "--no-such-option"])
    assert (done.returncode, done.stdout) == (2, "")
    assert f"  belfry {name}" in done.stderr and f"belfry {name} --help" in done.stderr


def test_colour_is_for_terminals_and_can_be_turned_off():
    assert "\033[1m" in on_a_terminal(["policy", "show", "--help"], NO_COLOR="")
    assert "\033" not in on_a_terminal(["policy", "show", "--help"], NO_COLOR="1")


@pytest.fixture
def files(desk):  # noqa: F811
    desk.bundle("wrong.yaml", ("user.acr_level >= 400", "user.acr_leve >= 400"))
    desk.bundle("failing.yaml", ("expect: permit", "expect: deny because forbidden # permit"))
    desk.bundle("other.yaml", ('"officers" in user.groups && user.acr_level', '"chiefs" in user.groups && user.acr_level'))
    desk.write("charter.yaml", "belfry: charter/v1\nserial: 1\nnot_after: 2030-01-01T00:00:00Z\nentities: []\n")
    desk.write("facts.yaml", f"given: {{ user: {{ groups: [guests] }} }}\nrequest: GET https://{HOST}/declarations/1\n")
    desk.write("log", line(method="POST"))
    return desk


def test_json_and_words_end_alike(files):
    for words, code in ANSWERS:
        files(*words, code=code)
        done = run(["policy", *words, "--json"], cwd=files.folder)
        assert done.returncode == code and json.loads(done.stdout), (words, done.stderr)
    asked = {words[0] for words, _ in ANSWERS}
    assert asked == {name.split()[1] for name, forms, *_ in COMMANDS if name.startswith("policy ") and "--json" in forms}


def test_what_is_wrong_is_told_by_file_and_line(files):
    (said,) = files.json("check", "wrong.yaml", code=1)
    (finding,) = [one for one in said["findings"] if one["severity"] == "error"]
    assert (said["verdict"], finding["file"], finding["code"]) == ("wrong", "wrong.yaml", "unknown-fact")
    assert f"wrong.yaml:{finding['line']}:{finding['column']}: error: " in files("check", "wrong.yaml", code=1)
    assert "did you mean" in finding["text"] and "acr_level" in finding["text"]
    (said,) = files.json("test", "failing.yaml", code=1)
    assert said["tests"] == [{"name": "an officer reads", "passed": False}] and len(said["coverage"]) == 5
    (shown,) = json.loads(run(["policy", "show", "./bundle.yaml", "--json"], cwd=files.folder).stdout)
    assert shown["serial"] == 1 and shown["rules_overdue"][0]["rule"] == "long-ago" and shown["digest"]


def test_a_file_that_is_not_there_is_named(files):
    for words in MISSING:
        said = files(*words, code=3)
        assert "no.yaml" in said and "No such file" in said, (words, said)
