# SPDX-License-Identifier: EUPL-1.2
"""The programs of bench/: the rig drives what it says it drives, and measures nobody who does not do the task."""

import json
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

import pytest

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import peers  # noqa: E402


@pytest.mark.parametrize("name", sorted(one.name for one in BENCH.glob("*.py") if "argparse" in one.read_text()))
def test_each_program_says_how_it_is_used(name):
    done = subprocess.run([sys.executable, BENCH / name, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "usage:" in done.stdout, done.stderr


@pytest.mark.long
def test_the_rig_drives_belfry_in_every_way_and_nothing_fails(tmp_path):
    done = subprocess.run([sys.executable, BENCH / "run.py", "--quick", "--targets", "belfry", "--out", tmp_path],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["notes"] == [], done.stdout
    assert {"h2", "h2-indexed", "h2-minted", "h2-cold", "h1", "100k", "1m", "upload", "full", "resumed", "echo", "rate"} == set(result["figures"])
    for scenario, rounds in result["figures"].items():
        for said in rounds["belfry"]:
            assert said["ok"] > 0 and said["failed"] == 0 and said["cpu_us"] > 0, (scenario, said)
    full, resumed = (result["figures"][name]["belfry"][0] for name in ("full", "resumed"))
    assert full["resumed"] == 0 and full["full"] >= full["ok"]
    assert resumed["full"] == 0 and resumed["resumed"] >= resumed["ok"]
    assert result["idle_kib"]["belfry"] > 1
    assert "| 1 KiB, HTTP/2" in (tmp_path / "result.md").read_text()
    plot = xml.etree.ElementTree.parse(tmp_path / "result.svg")
    assert len(plot.findall(".//{*}rect[@class='ours']")) == 14


class WithoutRule(peers.Belfry):
    """Lets anybody with a certificate and a token go anywhere."""
    name = "without-rule"

    def write(self, name, text):
        return super().write(name, text.replace('"/b/**"', '"/**"').replace("        when: '\"staff\" in user.groups'\n", ""))


@pytest.mark.long
def test_a_target_that_lets_in_too_much_is_found_out():
    scenery = peers.Scenery(1)
    target = WithoutRule(scenery)
    try:
        assert target.begin().faults() == [f"lets in {what}" for what in (
            "a path outside of the rule", "no token", "a token without the role")]
    finally:
        target.close()
        scenery.close()


@pytest.mark.long
def test_the_parts_are_measured():
    said = subprocess.run([peers.BUILD / "bench_parts"], capture_output=True, text=True, timeout=300, check=True).stdout
    assert len(said.splitlines()) == 6 and all(" ns (" in line for line in said.splitlines()), said
