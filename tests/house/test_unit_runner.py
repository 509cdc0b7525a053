# SPDX-License-Identifier: EUPL-1.2
"""The runner of unit tests fails where a test leaks or breaks: Criterion alone passes a leak."""

import pathlib
import subprocess

import pytest

RUN = pathlib.Path(__file__).resolve().parents[1] / "unit/run"
HEAD = "#include <criterion/criterion.h>\n#include <stdlib.h>\nstatic char *volatile held;\n"


@pytest.mark.parametrize("body, passed, failed", [
    ("Test(room, keeps) { held = malloc(8); free(held); cr_assert(1); }", 1, 0),
    ("Test(room, leaks) { held = malloc(8); held = NULL; cr_assert(1); }", 1, 1),
    ("Test(room, is_wrong) { cr_assert(0); }", 0, 1),
    ("Test(room, overruns) { held = malloc(8); held[8] = 1; free(held); }", 0, 1),
])
def test_the_runner_counts(tmp_path, body, passed, failed):
    (tmp_path / "unit_room.c").write_text(HEAD + body + "\n")
    subprocess.run(["gcc", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", tmp_path / "unit_room.c",
                    "-o", tmp_path / "unit_room", "-lcriterion"], check=True)
    done = subprocess.run([RUN, tmp_path / "unit_room", tmp_path / "reports"], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"{passed} {failed}", done.stdout
    assert (done.returncode == 0) == (failed == 0)
