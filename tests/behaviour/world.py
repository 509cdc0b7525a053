# SPDX-License-Identifier: EUPL-1.2
"""The gateway among real parts, for the tests: the demo's scenery (PKI, Redis, providers) with policies of the
tests' own and an origin that records what it saw."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "demo"))

from scenery import ENTITIES, Answer, Scenery, free_port  # noqa: E402

from origin import Origin  # noqa: E402

HOSTS = ["strict.finance.localhost", "maybe.finance.localhost", "open.finance.localhost", "small.finance.localhost",
         "token.finance.localhost", "dead.finance.localhost", "pair.finance.localhost", "twin.finance.localhost", "ward.health.localhost"]
# For what asks more than one client of one address may.
UNLIMITED = ("limits: { handshakes: 0, handshakes_per_address: 0, requests_per_address: 0, requests_per_device: 0,\n"
             "          requests_per_user: 0 }\n")
REASONS = os.environ.get("BELFRY_REASONS")  # a folder: what each world has met, for test_zz_reasons.py
BELFRY = pathlib.Path(os.environ.get("BELFRY", ROOT / "build/asan/belfry"))


def until(condition, what, limit_s=10):
    """Waits for a condition, never for a time; returns what it gave."""
    end = time.monotonic() + limit_s
    while not (made := condition()):
        assert time.monotonic() < end, f"not in {limit_s} s: {what}"
        time.sleep(0.005)
    return made


class World(Scenery):
    """`workers`, and `policies`: a folder with charter.yaml, finance.yaml and health.yaml (the tests' own when None)."""

    def __init__(self, workers=2, policies=None, belfry=BELFRY, hosts=(), extra_config=""):
        assert pathlib.Path(belfry).exists(), f"{belfry} is not built; ./dev build asan"
        super().__init__(belfry, tempfile.mkdtemp(prefix="belfry-test-"), workers)
        self.policies = pathlib.Path(policies or ROOT / "tests/behaviour/policy")
        self.hosts = [*HOSTS, *hosts]
        self.extra_config = extra_config
        self.read_from, self.read_bytes, self.read_events = None, 0, []  # of the audit
        self.origin = Origin()
        self.dead_port = free_port()

    def __exit__(self, *what):
        if what and what[0]:  # of what could not even begin pytest shows this alone
            for path in sorted((self.folder / "log").glob("*.log")):
                print(f"--- the end of {path.name}", path.read_text(errors="replace")[-2000:], sep="\n")
        if REASONS:
            pathlib.Path(REASONS, self.folder.name).write_text("\n".join(self.reasons()))
        super().__exit__(*what)
        if os.environ.get("BELFRY_KEEP") is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def make_pki(self):
        subprocess.run([ROOT / "certs/make-test-pki", self.pki, *self.hosts], check=True, capture_output=True)

    def write_policy(self):
        super().write_policy()  # the demo's charter, with this run's keys
        for source in self.policies.glob("*.yaml"):
            text = source.read_text().replace("127.0.0.1:ORIGIN", f"127.0.0.1:{self.origin.port}")
            text = text.replace("127.0.0.1:DEAD", f"127.0.0.1:{self.dead_port}")
            for name in ENTITIES:
                issuer = self.providers[name]["issuer"] if name in self.providers else "https://idp.localhost:9"
                text = text.replace(f"ISSUER-OF-{name.upper()}", issuer)
                text = text.replace(f"KEY-OF-{name.upper()}", self.keys[name][0])
                text = text.replace(f"PUBLIC-OF-{name.upper()}", self.keys[name][1])
            (self.folder / "policy" / source.name).write_text(text)

    def write_config(self, port, admin_port):
        super().write_config(port, admin_port)
        more = self.extra_config
        if "limits:" not in more:  # all the tests' clients come from one address, and each shakes hands anew
            more += "limits: { handshakes: 0, handshakes_per_address: 0 }\n"
        self.config.write_text(self.config.read_text() + more)

    def begin(self, gateway=True):
        """Starts everything; the gateway answers when this returns."""
        self.ports.update({"tax-desk": self.origin.port, "claims": self.origin.port, "registry": self.origin.port})
        self.make_pki()
        self.start_redis()
        for name in ENTITIES:
            self.start_provider(name)
        self.make_keys()
        self.wait_redis()
        for name in ENTITIES:
            self.wait_provider(name)
        self.write_policy()
        self.publish_charter()
        for name in ENTITIES:
            self.publish(name)
        self.write_config(free_port(), free_port())
        self.introduce_login_hosts(self.port)
        if gateway:
            self.start_gateway()
            self.wait_gateway()
        return self

    @property
    def port(self):
        return self.ports["gateway"]

    @property
    def gateway(self):
        return self.processes["gateway"]

    # Clients

    def context(self, cert=None, alpn=("http/1.1",), version=None):
        context = ssl.create_default_context(cafile=str(self.trust))
        context.set_alpn_protocols(list(alpn))
        if cert:
            context.load_cert_chain(*map(str, self.client(cert)))
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def tls(self, host, cert=None, alpn=("http/1.1",), version=None, context=None, session=None):
        """A connected TLS socket; the handshake's errors are the caller's to see."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = context or self.context(cert, alpn, version)
        try:
            return context.wrap_socket(plain, server_hostname=host, session=session)
        except BaseException:
            plain.close()
            raise

    def ask(self, host, path="/", method="GET", cert=None, token=None, headers=(), body=None, http="1.1", authority=None):
        """One request by curl, over http 1.1 or 2; what curl itself says is raised. `headers`: "name: value" lines."""
        words = ["curl", "-sS", "-i", f"--http{http}", "--max-time", "20", "--cacert", self.trust, "-X", method,
                 "--path-as-is", "--resolve", f"{host}:{self.port}:127.0.0.1"]
        if method == "HEAD":
            words.append("-I")
        if cert:
            certificate, key = self.client(cert)
            words += ["--cert", certificate, "--key", key]
        if token:
            words += ["-H", f"authorization: Bearer {token}"]
        if authority:
            words += ["-H", f"host: {authority}"]
        for line in headers:
            words += ["-H", line]
        if body is not None:
            words += ["--data-binary", "@-", "-H", "content-type: application/octet-stream"]
        done = subprocess.run([*map(str, words), f"https://{host}:{self.port}{path}"], input=body, capture_output=True)
        if done.returncode:
            raise OSError(done.returncode, done.stderr.decode().strip())
        return parse_answer(done.stdout)

    # Evidence

    def log_text(self):
        return self.log("gateway").read_text()

    def events(self, reference=None):
        """The audit's events, or those with that reference. What was read before is not read again."""
        with open(self.audit, "rb") as file:
            identity = os.fstat(file.fileno()).st_ino
            if identity != self.read_from:  # another file under the name
                self.read_from, self.read_bytes, self.read_events = identity, 0, []
            file.seek(self.read_bytes)
            whole = file.read().rpartition(b"\n")[0]  # the last line may be under way
        if whole:
            self.read_bytes += len(whole) + 1
            self.read_events += [json.loads(line) for line in whole.split(b"\n") if line]
        return [e for e in self.read_events if reference in (None, e.get("event.id"))]

    def decision(self, reference):
        """The decision's event; waits for the writer."""
        found = until(lambda: [e for e in self.events(reference) if e["event.action"] in ("access-decision", "access-refused")],
                      f"no audit event {reference}")
        assert len(found) == 1, found
        return found[0]

    def reasons(self):
        """The reasons that this world's audit and metrics have seen."""
        seen = set()
        for path in self.folder.glob(f"{self.audit.name}*"):
            if path.is_file():
                text = path.read_text()
                seen.update(re.findall(r'"belfry.reason_code":"(\w+)"', text))
                seen.update(re.findall(r'"belfry.reason_code":"access_withdrawn".*"belfry.detail":"(\w+)"', text))  # and why
        metrics = self.admin("/metrics")[1] if "gateway" in self.processes else ""
        return seen.union(re.findall(r'belfry_exchanges_total\{reason="(\w+)"\} [1-9]', metrics))

    def rss_kib(self):
        text = pathlib.Path(f"/proc/{self.gateway.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1])

    def update(self, name, change):
        """Changes and publishes a bundle; returns when it is live on this gateway."""
        before = self.metric("belfry_snapshot")
        self.edit(name, change)
        self.publish(name)
        until(lambda: self.metric("belfry_snapshot") > before, "the new bundle is not live", 30)


class Stopped:
    """The gateway sees all that happens inside of this at once, when it is over."""

    def __init__(self, world):
        self.pid = world.gateway.pid

    def _all_stand(self):
        stats = pathlib.Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(") ")[2][0] == "T" for stat in stats)

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)  # each thread stands when it comes to it
        until(self._all_stand, "the gateway does not stop")

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def parse_answer(text):
    head, _, body = text.partition(b"\r\n\r\n")
    while head.split(b" ", 2)[1].startswith(b"1"):  # 100 Continue and the like
        head, _, body = body.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    fields = [(name.lower(), value) for name, value in (l.split(": ", 1) for l in lines if ": " in l)]
    return Answer(int(line.split()[1]), fields, body, line.split()[0])
