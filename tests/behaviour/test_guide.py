# SPDX-License-Identifier: EUPL-1.2
"""The first chapter of docs/policy.md, done as it says: its files are written, its changes made, its commands run in one
folder with a real Redis, and what they answer is what stands there."""

import datetime
import os
import pathlib
import re
import shlex
import subprocess

import pytest

from world import BELFRY, ROOT, until

FILE = re.compile(r"(?i)\bthe\s+file\s+`([\w.]+)`:\s*\Z")
END = re.compile(r"(?i)\bat\s+the\s+end\s+of\s+`([\w.]+)`:\s*\Z")
BELOW = re.compile(r"(?i)\bbelow\s+the\s+line\s+`([^`]+)`\s+of\s+`([\w.]+)`:\s*\Z")
CHANGE = re.compile(r"(?i)\bin\s+`([\w.]+)`,\s+write\s+|`([^`]+)`\s+in\s+place\s+of\s+(the\s+line\s+)?`([^`]+)`")
# What differs from one machine to the next: keys, their ids, digests.
OWN = re.compile(r"[A-Za-z0-9+/]{43}=|\b[0-9a-f]{32}\b|\b[0-9a-f]{16}\b")


def steps():
    """(the text in front, the block) of the chapter, in order; a block without its indentation."""
    chapter = re.search(r"(?ms)^## A first policy\n(.*?)^## ", (ROOT / "docs/policy.md").read_text())[1]
    before, block, found = "", "", []
    for line in chapter.splitlines() + ["the end"]:
        if line.startswith("    ") or (block and not line):
            block += line[4:] + "\n"
            continue
        if block:
            found.append((before, block.rstrip("\n") + "\n"))
            before = block = ""
        before += line + "\n"
    return found


class Reader:
    """Somebody who does what the chapter says, with the keys and digests of their own."""

    def __init__(self, folder, store):
        self.folder, self.store = folder, store
        self.own = {}  # as the page says: as it is here
        self.commands = 0

    def here(self, text):
        text = text.replace("redis://127.0.0.1:6379", self.store)
        text = text.replace("2030-01-01", f"{datetime.date.today().year + 3}-01-01")  # any day to come
        return OWN.sub(lambda match: self.own.get(match[0], match[0]), text)

    def change(self, prose):
        name = None
        for match in CHANGE.finditer(prose):
            if match[1]:
                name = match[1]
                continue
            path = self.folder / name
            text = path.read_text()
            if match[3]:  # a whole line, but for its margin
                new, count = re.subn(rf"(?m)^( *(?:- )?){re.escape(match[4])}$", lambda m: m[1] + match[2], text)
            else:
                new, count = text.replace(match[4], match[2]), text.count(match[4])
            assert count == 1, f"{name} has '{match[4]}' {count} times"
            path.write_text(new)

    def run(self, command, expected):
        self.commands += 1
        words = shlex.split(self.here(command))
        assert words[0] == "belfry"
        done = subprocess.run([BELFRY, *words[1:]], cwd=self.folder, capture_output=True, text=True, timeout=60,
                              env={**os.environ, "TZ": "UTC"})
        said = (done.stdout + done.stderr).splitlines()
        if (left_out := next((i for i, line in enumerate(expected) if line.strip() == "..."), None)) is not None:
            behind = len(expected) - left_out - 1  # these lines are the last ones
            expected = expected[:left_out] + expected[left_out + 1:]
            said = said[:left_out] + said[max(left_out, len(said) - behind):]
        assert len(said) == len(expected), f"$ {command}\n{done.stdout}{done.stderr}"
        for line, real in zip(expected, said):
            named, seen = OWN.findall(line), OWN.findall(real)
            assert len(named) == len(seen), f"$ {command}\n{real}\nis not\n{line}"
            for old, new in zip(named, seen):
                assert self.own.setdefault(old, new) == new, f"$ {command}\n{real}\nis not\n{line}"
            pattern = ".*".join(map(re.escape, self.here(line).split("...")))
            assert re.fullmatch(pattern, real), f"$ {command}\n{real}\nis not\n{line}"

    def do(self, prose, block):
        self.change(prose)
        if block.startswith("$ "):
            for part in re.split(r"(?m)^\$ ", block)[1:]:
                command, *answer = part.splitlines()
                self.run(command, answer)
        elif match := FILE.search(prose):
            (self.folder / match[1]).write_text(self.here(block))
        elif match := END.search(prose):
            path = self.folder / match[1]
            text = path.read_text()
            # A list that stands there already goes on; a new part has an empty line in front.
            path.write_text(text + ("" if block.startswith(" ") else "\n") + self.here(block))
        else:
            match = BELOW.search(prose)
            assert match, f"nobody knows what to do with\n{block}\nbehind\n{prose}"
            path = self.folder / match[2]
            head, line, rest = path.read_text().partition(match[1] + "\n")
            assert line, f"{match[2]} has no line '{match[1]}'"
            path.write_text(head + line + self.here(block) + rest)


@pytest.fixture
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("redis")
    socket = folder / "s"
    redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder],
                             stdout=subprocess.DEVNULL)
    until(lambda: pathlib.Path(socket).is_socket(), "no redis")
    yield f"redis+unix://{socket}"
    redis.terminate()
    redis.wait()


def test_the_guide_works_as_it_stands(tmp_path, store):
    reader = Reader(tmp_path, store)
    for prose, block in steps():
        reader.do(prose, block)
    assert reader.commands > 15  # else the page was not read
    bundle = (tmp_path / "finance.yaml").read_text()
    assert "managers-approve" in bundle and "serial: 2" in bundle
