# SPDX-License-Identifier: EUPL-1.2
"""The house as it stands keeps its rules, and the checker sees it when a tree does not."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from arrows import LICENCE, find_faults  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_no_include_runs_against_the_arrows_and_each_file_names_its_licence():
    assert find_faults(ROOT) == []


def tree(root, **texts):
    for name in ("base/map.h", "policy/decide.h", "policy/cel_in.h", "policy/store.h", "auth/token.h",
                 "audit/record.h", "proxy/h2.h", "include/belfry/slice.h"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"// {LICENCE}\n")
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// {LICENCE}\n{text}\n")


@pytest.mark.parametrize("path, line", [
    ("base/a.c", '#include "policy/decide.h"'),
    ("base/a.c", '#include "audit/record.h"'),
    ("policy/a.c", '#include "auth/token.h"'),
    ("policy/a.c", '#include "audit/record.h"'),
    ("auth/a.c", '#include "proxy/h2.h"'),
    ("auth/a.c", '#include "audit/record.h"'),
    ("audit/a.c", '#include "policy/decide.h"'),
    ("proxy/a.c", '#include "cli/main.h"'),
    ("proxy/a.c", '  #  include "policy/cel_in.h"'),
    ("include/belfry/a.h", '#include "base/map.h"'),
    ("include/belfry/a.h", '#include "belfry/gone.h"'),
    ("policy/a.c", "#include <openssl/ssl.h>"),
    ("policy/a.c", "#include <hiredis/hiredis.h>"),
    ("policy/a.c", "#include <ev.h>"),
    ("policy/a.c", "#include <sys/socket.h>"),
    ("policy/a.c", '#include "base/redis.h"'),
    ("policy/a.c", '#include "policy/store.h"'),
    ("proxy/a.c", "#include <auth/token.h>"),
    ("proxy/a.c", '#include "h2.h"'),
    ("proxy/a.c", '#include "tests/h2.h"'),
])
def test_an_include_against_the_arrows_is_found(tmp_path, path, line):
    tree(tmp_path, **{path: line})
    assert [fault.rsplit(":", 1)[0].split(": ")[0] for fault in find_faults(tmp_path)] == [f"{path}:2"]


@pytest.mark.parametrize("path, line", [
    ("cli/a.c", '#include "audit/record.h"'),
    ("proxy/a.c", '#include "audit/record.h"\n#include "policy/store.h"\n#include <openssl/ssl.h>'),
    ("auth/a.c", '#include "policy/decide.h"\n#include "belfry/slice.h"\n#include <jwt.h>'),
    ("policy/a.c", '#include "policy/cel_in.h"\n#include "base/map.h"\n#include <string.h>'),
    ("policy/store_redis.c", '#include "base/redis.h"\n#include "policy/store.h"\n#include <hiredis/hiredis.h>'),
])
def test_an_include_along_the_arrows_is_none(tmp_path, path, line):
    tree(tmp_path, **{"base/redis.h": "", path: line})
    assert find_faults(tmp_path) == []


def test_a_file_without_a_licence_is_found(tmp_path):
    tree(tmp_path)
    (tmp_path / "base/bare.c").write_text("int bare;\n")
    (tmp_path / "script").write_text("#!/bin/bash\ntrue\n")
    assert [fault.split(":")[0] for fault in find_faults(tmp_path)] == ["base/bare.c", "script"]


def test_include_holds_nouns_alone(tmp_path):
    tree(tmp_path)
    (tmp_path / "include/belfry/code.c").write_text(f"// {LICENCE}\n")
    (tmp_path / "include/other").mkdir()
    (tmp_path / "include/other/x.h").write_text(f"// {LICENCE}\n")
    assert [fault.split(":")[0] for fault in find_faults(tmp_path)] == ["include/belfry/code.c", "include/other/x.h"]
