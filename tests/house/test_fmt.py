# SPDX-License-Identifier: EUPL-1.2
"""`belfry policy fmt` on everything that looks like YAML here: what a file says stays, its comments stay, and doing it
again changes nothing."""

import re
import subprocess

import pytest
import yaml

from test_docs import ROOT, belfry  # noqa: F401: belfry is a fixture

OURS = sorted([*(ROOT / "demo/policy").glob("*.yaml"), *(ROOT / "tests/behaviour/policy").glob("*.yaml")])
STRANGE = [p for room in ("yaml", "bundle", "charter") for p in sorted((ROOT / "tests/fuzz/corpus" / room).glob("*"))]


def fmt(belfry, path, *argv):  # noqa: F811
    return subprocess.run([belfry, "policy", "fmt", path, *argv], capture_output=True, text=True, timeout=30)


def comments(text):
    return re.findall(r"(?m)^\s*(#.*?)\s*$", text)


def untidy(text):
    """The same with everything three times as far in, blanks at ends, and empty lines between all."""
    lines = [re.sub(r"^( *)(- )?", lambda m: m[1] * 3 + ("-     " if m[2] else ""), line) for line in text.splitlines()]
    return "\r\n\r\n\r\n".join(line + "  " if line.endswith(":") else line for line in lines) if "|" not in text else text


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_untidied_comes_back_as_it_was(belfry, tmp_path, path):  # noqa: F811
    text = path.read_text()
    assert fmt(belfry, path, "--check").returncode == 0
    copy = tmp_path / "copy.yaml"
    copy.write_bytes(untidy(text).encode())
    assert yaml.safe_load(copy.read_text()) == yaml.safe_load(text)
    assert fmt(belfry, copy, "--check").returncode == 1 and copy.read_bytes() == untidy(text).encode()
    done = fmt(belfry, copy)
    assert done.returncode == 0, done.stdout + done.stderr
    again = copy.read_text()
    assert yaml.safe_load(again) == yaml.safe_load(text) and comments(again) == comments(text)
    assert [line for line in again.splitlines() if line] == [line for line in text.splitlines() if line]


def test_strange_files_are_set_once_and_for_all_or_left_alone(belfry, tmp_path):  # noqa: F811
    assert len(STRANGE) > 10
    copy = tmp_path / "copy.yaml"
    for path in STRANGE:
        copy.write_bytes(path.read_bytes())
        done = fmt(belfry, copy)
        assert done.returncode in (0, 1) and "Sanitizer" not in done.stderr, (path, done)
        if done.returncode:
            assert copy.read_bytes() == path.read_bytes(), path
            continue
        assert fmt(belfry, copy, "--check").returncode == 0, path
