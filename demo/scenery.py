# SPDX-License-Identifier: EUPL-1.2
"""What stands around the gateway: a PKI, Redis, two identity providers, three applications, signed policy.

Used by `demo/story`, and by the behaviour tests. Everything lives in one folder and is started by us alone:
`with Scenery(belfry, folder) as scenery:` ends each process by its pid, in reverse order, whatever happens.
"""

import base64
import ctypes
import datetime
import json
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1

ENTITIES = {
    # short name: (entity id, bundle, audience)
    "finance": ("fod-finance", "finance.yaml", "tax-api"),
    "health": ("health-agency", "health.yaml", "health-api"),
}
SIGNERS = {
    # short name: whose keys the charter of demo/policy names for it
    "finance": ["finance"],
    "health": ["health", "approver"],
}
SECRETS = {
    # entity id: the secret by which the gateway is known to its provider
    "fod-finance": "fas",
    "health-agency": "health-id",
}
APPLICATIONS = {
    # script: host on which the gateway serves it
    "tax-desk": "tax.finance.localhost",
    "claims": "claims.health.localhost",
    "registry": "registry.health.localhost",
}


class Trouble(Exception):
    """Something of the scenery failed; `log` is the file that says more."""

    def __init__(self, what, log=None):
        super().__init__(what)
        self.log = log


def free_port(preferred=0):
    """The preferred port when nobody has it, else any. Not one of those that the system gives to connections that go
    out, while there are others: one of these might take it before whoever it is for has bound it."""
    system = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    others = random.SystemRandom().sample(range(10240, int(system[0])), 32) if int(system[0]) > 20000 else []
    for port in ([preferred] if preferred else []) + others + [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise Trouble("no free port on 127.0.0.1")


class Answer:
    def __init__(self, status, fields, body, version):
        self.status = status
        self.fields = fields  # [(lower-case name, value)]
        self.body = body
        self.version = version

    def get(self, name):
        return dict(reversed(self.fields)).get(name)

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    @property
    def problem(self):
        """The problem's name, such as "device_required"; None where it is no problem answer."""
        if self.get("content-type") != "application/problem+json":
            return None
        return json.loads(self.body)["type"].rsplit(":", 1)[1]

    def __repr__(self):
        return f"<{self.version} {self.status} {self.problem or self.body[:60]!r}>"


class Line:
    """One HTTP/1.1 connection to loopback that stays open. Names under .localhost need no resolver here."""

    def __init__(self, port, host, trust, cert=None, key=None):
        context = ssl.create_default_context(cafile=trust)
        if cert:
            context.load_cert_chain(cert, key)
        plain = socket.create_connection(("127.0.0.1", port), timeout=5)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = f"{host}:{port}"
        self.socket = context.wrap_socket(plain, server_hostname=host)
        self.file = self.socket.makefile("rb")

    def ask(self, method, path, headers=(), body=b""):
        """(status, header fields in lower case, body)."""
        head = [f"{method} {path} HTTP/1.1", f"host: {self.host}", f"content-length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in headers]
        self.socket.sendall("\r\n".join(head + ["", ""]).encode() + body)
        status = int(self.file.readline().split()[1])
        fields = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.decode().partition(":")
            fields[name.lower()] = value.strip()
        if fields.get("transfer-encoding") == "chunked":
            return status, fields, b"".join(iter(self._chunk, b""))
        return status, fields, self.file.read(int(fields.get("content-length", 0)))

    def _chunk(self):
        size = int(self.file.readline().split(b";")[0], 16)
        data = self.file.read(size)
        self.file.readline()
        return data

    def close(self):
        self.file.close()
        self.socket.close()


class Scenery:
    def __init__(self, belfry, folder, workers=2):
        self.belfry = str(belfry)
        self.folder = pathlib.Path(folder)
        self.workers = workers
        self.processes = {}
        self.ports = {}
        self.providers = {}
        self.redis_socket = self.folder / "redis.sock"
        self.store = f"redis+unix://{self.redis_socket}"
        self.config = self.folder / "belfry.yaml"
        self.audit = self.folder / "audit.jsonl"
        self.pki = self.folder / "pki"
        self.trust = self.pki / "trust.pem"

    def __enter__(self):
        for name in ("log", "policy", "keys", "keys/gateway", "keys/gateway/assertion", "keys/gateway/audit", "state"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        return self

    def __exit__(self, *_):
        for name in reversed(list(self.processes)):
            self.stop(name)

    # Processes

    def spawn(self, name, argv, env=None):
        """Starts it; what it says goes to log/NAME.log, its standard output to log/NAME.out."""

        def with_us():  # in a group of its own, so that Ctrl-C is ours; gone when we are, even killed
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

        with open(self.log(name), "ab") as log, open(self.folder / "log" / f"{name}.out", "wb") as out:
            self.processes[name] = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                start_new_session=True, preexec_fn=with_us, env=env)

    def log(self, name):
        return self.folder / "log" / f"{name}.log"

    def stop(self, name, patience_s=5):
        process = self.processes.pop(name, None)
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def until(self, name, ready, what, limit_s=30):
        """Polls `ready` (true, or what it made) while the process NAME lives. The limit is for a machine with much else
        to do."""
        end = time.monotonic() + limit_s
        while not (made := ready()):
            process = self.processes[name]
            if process.poll() is not None:
                raise Trouble(f"{name} ended with {process.returncode}; {what}", self.log(name))
            if time.monotonic() > end:
                raise Trouble(f"{name} did not get ready in {limit_s} s; {what}", self.log(name))
            time.sleep(0.01)
        return made

    def said(self, name):
        """The JSON line that our Node programs print once they listen."""
        text = (self.folder / "log" / f"{name}.out").read_text()
        return json.loads(text) if text.endswith("\n") else None

    def command(self, *argv, name="belfry"):
        """Runs `belfry ARGV`, returns its standard output."""
        done = subprocess.run([self.belfry, *map(str, argv)], capture_output=True, text=True, timeout=30)
        with open(self.log(name), "a") as log:
            log.write(f"$ belfry {' '.join(map(str, argv))}\n{done.stdout}{done.stderr}")
        if done.returncode != 0:
            raise Trouble(f"`belfry {' '.join(map(str, argv))}` ended with {done.returncode}", self.log(name))
        return done.stdout

    # The parts

    def make_pki(self):
        done = subprocess.run([ROOT / "certs/make-test-pki", self.pki], capture_output=True, text=True)
        if done.returncode != 0:
            self.log("pki").write_text(done.stderr)
            raise Trouble("the PKI could not be made", self.log("pki"))

    def client(self, name):
        """(certificate, key) of a client of the PKI."""
        return self.pki / "clients" / f"{name}.pem", self.pki / "clients" / f"{name}.key"

    def start_redis(self):
        # Each write is on disk before it is answered: what is stopped and started again has all of it.
        self.spawn("redis", ["redis-server", "--port", "0", "--unixsocket", self.redis_socket,
                             "--unixsocketperm", "700", "--save", "", "--appendonly", "yes",
                             "--appendfsync", "always", "--dir", self.folder, "--logfile", self.log("redis")])

    def wait_redis(self):
        def ready():
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.settimeout(1)
                    probe.connect(str(self.redis_socket))
                    probe.sendall(b"PING\r\n")
                    return probe.recv(16).startswith(b"+PONG")
            except OSError:
                return False

        self.until("redis", ready, "no answer on its socket")

    def start_provider(self, name, port=0):
        home = self.pki / "certificates/idp.localhost"
        self.spawn(f"idp-{name}", ["node", ROOT / "demo/idp/server.js", "--name", name, "--port", port,
                                   "--cert", home / "fullchain.pem", "--key", home / "key.pem", "--ca", self.trust])

    def wait_provider(self, name):
        part = f"idp-{name}"
        self.providers[name] = self.until(part, lambda: self.said(part), "is demo/idp/node_modules there?")

    def tell_provider(self, name, order, /, **query):
        """An order of demo/idp/server.js, such as ("login", origin="https://login.finance.localhost:8443")."""
        line = Line(int(self.providers[name]["issuer"].rsplit(":", 1)[1]), "idp.localhost", self.trust)
        status, _, answer = line.ask("POST", f"/demo/{order}?{urllib.parse.urlencode(query)}")
        line.close()
        if status != 200:
            raise Trouble(f"the provider of {name} does not take the order {order}", self.log(f"idp-{name}"))
        return json.loads(answer)

    def introduce_login_hosts(self, gateway_port):
        """Each entity's provider sends people back to that entity's login host on this gateway."""
        for name in self.providers:
            self.tell_provider(name, "login", origin=f"https://login.{name}.localhost:{gateway_port}")

    def start_application(self, name, port, gateway_port):
        host = APPLICATIONS[name]
        self.ports[name] = port
        self.spawn(name, ["node", ROOT / f"demo/apps/{name}.js", "--port", port, "--ca", self.trust,
                          "--jwks", f"https://{host}:{gateway_port}/.belfry/jwks.json"])

    def wait_application(self, name):
        self.until(name, lambda: self.said(name), "it does not listen")

    def token(self, provider, person, **parameters):
        """An access token of that provider for that person; parameters as demo/idp/server.js says."""
        form = {"grant_type": "urn:belfry:demo:person", "person": person,
                "resource": f"urn:belfry:{ENTITIES[provider][2]}", **parameters}
        body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
        port = int(self.providers[provider]["issuer"].rsplit(":", 1)[1])
        line = Line(port, "idp.localhost", self.trust)
        secret = base64.b64encode(b"portal:portal-secret").decode()
        status, _, answer = line.ask("POST", "/token", [
            ("authorization", f"Basic {secret}"), ("content-type", "application/x-www-form-urlencoded")], body)
        line.close()
        if status != 200:
            raise Trouble(f"no token for {person}: {answer.decode()}", self.log(f"idp-{provider}"))
        return json.loads(answer)["access_token"]

    # Policy

    def make_keys(self):
        """Signing keys of the federation and of all who sign for an entity, and the gateway's own rings."""
        self.keys = {}
        for name in ("federation", *(name for names in SIGNERS.values() for name in names)):
            self.keys[name] = self.command("key", "generate", self.key_file(name)).split()[:2]
        ring = self.folder / "keys/gateway"
        for entity, _, _ in ENTITIES.values():
            self.command("key", "ring", "new", ring / "assertion" / entity)
            self.command("key", "ring", "new", ring / "audit" / entity)
        for own in ("ticket", "seal", "store"):
            self.command("key", "ring", "new", ring / own)
        for entity, name in SECRETS.items():
            home = self.folder / "secrets" / entity
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            secret = home / name
            secret.write_text("belfry-secret")
            secret.chmod(0o600)

    def write_policy(self):
        """demo/policy as it stands there, with the ports, keys and dates of this run."""
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)
        changes = [(r"(?m)^not_after: .*$", f"not_after: {end:%Y-%m-%dT%H:%M:%SZ}"),
                   (r"https://idp\.localhost:9443", self.providers["finance"]["issuer"]),
                   (r"https://idp\.localhost:9444", self.providers["health"]["issuer"])]
        changes += [(rf"127\.0\.0\.1:{old}\b", f"127.0.0.1:{self.ports[name]}")
                    for old, name in ((9001, "tax-desk"), (9002, "claims"), (9003, "registry"))]
        for name in self.keys:
            changes += [(f"KEY-OF-{name.upper()}", self.keys[name][0]),
                        (f"PUBLIC-OF-{name.upper()}", self.keys[name][1])]
        for source in (ROOT / "demo/policy").glob("*.yaml"):
            text = source.read_text()
            for pattern, text_now in changes:
                text = re.sub(pattern, text_now, text)
            (self.folder / "policy" / source.name).write_text(text)
        for authority in (self.pki / "ca").glob("*.pem"):
            shutil.copy(authority, self.folder / "policy")

    def publish_charter(self):
        self.command("policy", "publish", "--charter", self.folder / "policy/charter.yaml",
                     "--key", self.folder / "keys/federation.key", "--store", self.store)

    def publish(self, name):
        """The entity's bundle as it stands in the folder now."""
        self.command("policy", "publish", self.policy_file(name), *self.key_words(name), "--store", self.store)

    def policy_file(self, name):
        return self.folder / "policy" / ENTITIES[name][1]

    def key_words(self, name):
        """As many signatures as the charter asks of that entity."""
        return [word for signer in SIGNERS[name] for word in ("--key", self.key_file(signer))]

    def key_file(self, signer):
        return self.folder / "keys" / f"{signer}.key"

    def edit(self, name, change):
        """Changes the bundle's text, with the next serial."""
        path = self.policy_file(name)
        text = change(path.read_text())
        path.write_text(re.sub(r"(?m)^serial: (\d+)$", lambda m: f"serial: {int(m[1]) + 1}", text))

    # The gateway

    def write_config(self, port, admin_port):
        self.ports["gateway"], self.ports["admin"] = port, admin_port
        key, public = self.keys["federation"]
        self.config.write_text(f"""\
# Made by the demo. Every key is explained in docs/configuration.md.
listen: ["127.0.0.1:{port}"]
workers: {self.workers}
admin: {{ listen: "127.0.0.1:{admin_port}" }}
state_dir: {self.folder}/state
certificates_dir: {self.pki}/certificates
keys_dir: {self.folder}/keys/gateway
secrets_dir: {self.folder}/secrets
store: {{ url: "{self.store}", max_stale: 1h }}
trust: {{ federation_keys: [{{ id: "{key}", public: "{public}" }}], min_charter_serial: 1 }}
audit: {{ file: {self.audit}, durability: written, rotate: 64MiB }}
fetch: {{ ca_file: {self.trust} }}
drain: 2s
log: {{ level: info }}
""")

    def start_gateway(self):
        self.spawn("gateway", [self.belfry, "run", "-c", self.config])

    def admin(self, path):
        """(status, text) from the admin listener; status 0 while nobody listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports["admin"]), timeout=2) as plain:
                plain.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda: plain.recv(65536), b"")).decode()
        except OSError:
            return 0, ""
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]) if head else 0, body

    def metric(self, name):
        """The sum of a metric over its labels."""
        lines = re.findall(rf"(?m)^{name}(?:{{[^}}]*}})? (\S+)$", self.admin("/metrics")[1])
        return sum(map(float, lines))

    def wait_gateway(self):
        self.until("gateway", lambda: self.admin("/readyz")[0] == 200, "/readyz is not 200")
