# SPDX-License-Identifier: EUPL-1.2
"""The first chapter of docs/policy.md, done as it says: its files are written, its changes made, its commands run in one
folder with a real Redis, and what they answer is what stands there. And docs/devices.md: its commands, in its order."""

import datetime
import os
import pathlib
import re
import shlex
import subprocess
import textwrap

import pytest

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from conftest import check_end
from devices import Authority
from revocation import StatusServer, make_answer, make_crl
from world import BELFRY, ROOT, World, until

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


# docs/devices.md

def blocks(chapter):
    """The blocks of a chapter, also those of its lists, without their margin."""
    text = re.search(rf"(?ms)^## {chapter}\n(.*?)^## ", (ROOT / "docs/devices.md").read_text())[1]
    found = re.findall(r"(?m)(?:^(?: {4}| {7})\S.*\n(?:^(?: {4,}.*)?\n)*)", text)
    return [textwrap.dedent(block).strip() + "\n" for block in found]


class Office:
    """Somebody who enrols devices, with a copy of the repository's certs/, beside a gateway."""

    def __init__(self, gate, folder):
        self.gate, self.folder = gate, folder
        (folder / "certs").symlink_to(ROOT / "certs")
        (folder / "trust.pem").symlink_to(gate.trust)
        tools = folder / "bin"
        tools.mkdir()
        (tools / "belfry").write_text(f'#!/bin/sh\nexec "{gate.belfry}" "$@" -c "{gate.config}"\n')
        (tools / "belfry").chmod(0o755)
        self.env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "SAN": "", "DATED": ""}

    def run(self, block):
        script = block.replace("tax.finance.localhost:8443", f"tax.finance.localhost:{self.gate.port}")
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script.replace("curl ", "curl -sSi ")], cwd=self.folder,
                              env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        return done.stdout

    def authority(self, name):
        read = {end: (self.folder / f"{name}.{end}").read_bytes() for end in ("pem", "key")}
        return Authority(x509.load_pem_x509_certificate(read["pem"]),
                         serialization.load_pem_private_key(read["key"], None))


def test_devices_are_enrolled_as_the_guide_says(tmp_path):
    make, bundle, request, visit, browser, revoke = blocks("Enrolling")
    table, inventory, _ = blocks("Inventory")
    server = StatusServer()
    with World(workers=1) as gate:
        gate.begin()
        office = Office(gate, tmp_path)
        del office.env["SAN"], office.env["DATED"]  # the guide sets them
        office.run(make + request + browser.splitlines()[0])  # the rest is the browser's own
        root, issuing = office.authority("root"), office.authority("issuing")
        leaf = x509.load_pem_x509_certificate((tmp_path / "laptop.pem").read_bytes())
        for name, authority in (("root", root), ("issuing", issuing)):
            server.answers[f"/{name}.crl"] = make_crl(authority)
        server.answers["/ocsp"] = lambda path: make_answer(issuing, leaf)
        (gate.folder / "policy/finance-devices.pem").write_bytes((tmp_path / "finance-devices.pem").read_bytes())
        bundle = bundle.replace("http://crl.finance.example", server.url("")).replace("http://ocsp.finance.example",
                                                                                     server.url("/ocsp"))
        gate.update("finance", lambda text: re.sub(
            r"(?m)^device_authorities:\n  - id: finance-laptops\n(?:    .*\n)*", lambda _: bundle, text))

        def seen():
            reference = re.search(r"(?mi)^belfry-reference: (\S+)", office.run(visit))[1]
            return gate.decision(reference)

        event = seen()
        assert event["device.id"] == "finance-laptops:laptop-0001", event
        until(lambda: gate.metric("belfry_crl_fetches_total") >= 2 and gate.metric("belfry_ocsp_fetches_total") >= 1,
              "not all that the bundle names is asked", 30)

        (tmp_path / "laptops.csv").write_text(table)
        said = office.run(inventory)
        assert "would import 1 device" in said and "Namur" in said, said

        office.run(revoke)
        until(lambda: seen()["belfry.reason_code"] == "device_revoked", "it is not out", 30)
        check_end(gate)
    server.close()
