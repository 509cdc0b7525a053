# SPDX-License-Identifier: EUPL-1.2
"""The gateways that are compared: how each is started with as equal a task as it can do, and the proof that it does it.

The task of all: TLS 1.3 alone, a client certificate of one authority demanded in the handshake, HTTP/2 and HTTP/1.1, GET and
POST on /b/ alone, to one application over kept-alive connections, one thread or process, no access log. Belfry and
`haproxy-jwt` also take an ES256 token of one issuer and audience from somebody with a role, and say to the application
who it is. Belfry does that with a signed assertion, and writes each decision to its audit file; nobody else does."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BELFRY", ROOT / "build/release/belfry")).parent
sys.path.insert(0, str(ROOT / "tests/behaviour"))

from forger import Signer  # noqa: E402

HOST = "bench.finance.localhost"
ISSUER = "https://idp.finance.localhost"
AUDIENCE = f"https://{HOST}"
DEVICE_AUTHORITY = "finance-devices"
CIPHER = "TLS_AES_128_GCM_SHA256"
CORES = sorted(os.sched_getaffinity(0))
ENVIRONMENT = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}  # where Debian has servers, and users don't look
TARGET_CORE, OTHER_CORE = CORES[0], CORES[1 % len(CORES)]


def on(core):
    return lambda: os.sched_setaffinity(0, {core})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def end(process):
    if process and process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Scenery:
    """Keys, certificates, tokens and the application, in a folder that goes when it ends."""

    def __init__(self, cold_tokens):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="belfry-bench-"))
        self.pki = self.folder / "pki"
        subprocess.run([ROOT / "certs/make-test-pki", self.pki, HOST], check=True, stdout=subprocess.DEVNULL)
        self.key, self.cert = (self.pki / "certificates" / HOST / name for name in ("key.pem", "fullchain.pem"))
        self.devices = self.pki / "ca" / f"{DEVICE_AUTHORITY}.pem"
        self.signer = Signer("bench")
        self.make_tokens(cold_tokens)
        self.origin_port = free_port()
        self.origin = subprocess.Popen([BUILD / "bench_origin", str(self.origin_port)], preexec_fn=on(OTHER_CORE))

    def make_tokens(self, cold):
        now = int(time.time())

        def token(signer=self.signer, audience=AUDIENCE, **claims):
            return signer.token(ISSUER, audience, payload={
                "sub": "9f6c2a60-0b1f-4c0e-8f7e-2f1f5b6f8f10", "client_id": "portal", "jti": os.urandom(8).hex(),
                "nbf": now - 60, "iat": now - 60, "exp": now + 7200, **claims})

        self.write("good", [token()])
        self.write("minted", [token() for _ in range(cold)])
        self.write("cold", [token(sub=f"somebody-{i:06d}") for i in range(cold)])
        self.write("expired", [token(iat=now - 4000, nbf=now - 4000, exp=now - 600)])
        self.write("forged", [token(signer=Signer("bench"))])
        self.write("for another audience", [token(audience="https://other.finance.localhost")])
        self.write("without the role", [token(roles=["guest"])])

    def tokens(self, name):
        return self.folder / f"tokens {name}"

    def write(self, name, tokens):
        self.tokens(name).write_text("".join(f"{t}\n" for t in tokens))

    def close(self):
        end(self.origin)
        shutil.rmtree(self.folder)


class Load:
    """One run of the generator: it stands when this is made; go() drives it and gives what it says."""

    def __init__(self, peer, arguments, token="good", client="laptop-0001"):
        pki = peer.scenery.pki
        command = [BUILD / "bench_load", "--port", peer.port, "--host", HOST, "--ca", pki / "trust.pem", *arguments]
        if client:
            command += ["--cert", pki / f"clients/{client}.pem", "--key", pki / f"clients/{client}.key"]
        if token:
            command += ["--tokens", peer.scenery.tokens(token)]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, preexec_fn=on(OTHER_CORE))
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the generator ended with {self.process.wait()}")

    def __enter__(self):
        return self

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        finally:
            end(self.process)
            self.process.stdout.close()


class Peer:
    name = title = package = ""
    checks_tokens = False

    def __init__(self, scenery):
        self.scenery = scenery
        self.port = free_port()
        self.folder = scenery.folder / self.name
        self.folder.mkdir()
        self.process = None

    def begin(self):
        """Starts it on its core and waits until it answers."""
        environment, command = self.prepare()
        log = open(self.folder / "log", "w")
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        cwd=self.folder, env={**ENVIRONMENT, **environment}, preexec_fn=on(TARGET_CORE))
        log.close()
        until = time.monotonic() + 15
        while not self.lets_in():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("does not answer: " + (self.folder / "log").read_text()[-600:])
            time.sleep(0.1)
        return self

    def prepare(self):
        """(environment, command), after writing its files."""
        raise NotImplementedError

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def lets_in(self, path="/b/16", **who):
        with Load(self, ["--path", path, "--requests", "1", "--milliseconds", "2000"], **who) as load:
            return load.go()["ok"] == 1

    def faults(self):
        """What it lets in and should not, as words; and whether it lets in at all."""
        found = [] if self.lets_in() else ["refuses what is good"]
        wrong = {"no certificate": {"client": None}, "a rogue certificate": {"client": "rogue"},
                 "a path outside of the rule": {"path": "/closed/16"}}
        if self.checks_tokens:
            wrong["no token"] = {"token": None}
            wrong |= {f"a token {name}" if " " in name else f"a token that is {name}": {"token": name}
                      for name in ("expired", "forged", "for another audience", "without the role")}
        return found + [f"lets in {what}" for what, how in wrong.items() if self.lets_in(**how)]

    def version(self):
        return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", self.package], capture_output=True, text=True).stdout

    def pids(self):
        found = [self.process.pid]
        for pid in found:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found

    def cpu_us(self):
        """Of all its threads: user and system time, which the scheduler counts in nanoseconds."""
        return sum(int((task / "schedstat").read_text().split()[0])
                   for pid in self.pids() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1000

    def rss_kib(self):
        return sum(int(line.split()[1]) for pid in self.pids()
                   for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Rss:"))

    def between(self):
        """After each measurement."""

    def close(self):
        end(self.process)


class Belfry(Peer):
    name, title = "belfry", "Belfry, all checks"
    checks_tokens = True
    redis = None

    def version(self):
        return subprocess.run([BUILD / "belfry", "version"], capture_output=True, text=True).stdout.split()[-1]

    def run(self, *command):
        return subprocess.run([str(word) for word in command], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def prepare(self):
        socket_path = self.folder / "redis.sock"
        self.redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket_path, "--save", ""],
                                      stdout=subprocess.DEVNULL, cwd=self.folder, preexec_fn=on(OTHER_CORE))
        belfry, store = BUILD / "belfry", f"redis+unix://{socket_path}"
        (self.folder / "certificates").mkdir()
        shutil.copytree(self.scenery.key.parent, self.folder / "certificates" / HOST)
        shutil.copy(self.scenery.devices, self.folder / "devices.pem")
        self.write("jwks.json", json.dumps({"keys": [self.scenery.signer.jwk]}))
        federation, federation_public = self.run(belfry, "key", "generate", "federation.key").split()[:2]
        entity, entity_public = self.run(belfry, "key", "generate", "entity.key").split()[:2]
        for ring in ("assertion/finance", "audit/finance"):
            (self.folder / "keys" / ring).parent.mkdir(parents=True, exist_ok=True)
            self.run(belfry, "key", "ring", "new", f"keys/{ring}")
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400))
        self.write("charter.yaml", f"""\
belfry: charter/v1
serial: 1
not_after: {ends}
entities:
  - id: finance
    name: Finance
    hosts: [{HOST}]
    upstream_networks: [127.0.0.1/32]
    keys: [{{ id: "{entity}", public: "{entity_public}" }}]
""")
        self.write("finance.yaml", f"""\
belfry: entity/v1
entity: finance
serial: 1
not_after: {ends}
identity_providers:
  - id: staff
    issuer: {ISSUER}
    jwks_file: jwks.json
    audiences: ["{AUDIENCE}"]
    claims: {{ groups: roles }}
device_authorities:
  - {{ id: devices, trust: managed, device_name: subject.CN, ca_file: devices.pem }}
applications:
  - id: bench
    host: {HOST}
    device: required_by_tls
    identity_providers: [staff]
    upstreams: [http://127.0.0.1:{self.scenery.origin_port}]
    websocket: {{}}
    rules:
      - id: staff
        permit: {{ methods: [GET, POST], paths: ["/b/**"] }}
        when: '"staff" in user.groups'
""")
        config = self.write("belfry.yaml", f"""\
listen: ["127.0.0.1:{self.port}"]
workers: 1
state_dir: {self.folder}/state
certificates_dir: {self.folder}/certificates
keys_dir: {self.folder}/keys
store: {{ url: "{store}" }}
trust: {{ federation_keys: [{{ id: "{federation}", public: "{federation_public}" }}] }}
audit: {{ file: {self.folder}/audit.jsonl }}
limits: {{ connections_per_device: 20000, connections_per_address: 20000, handshakes: 1000000, handshakes_per_address: 1000000,
          requests_per_address: 1000000, requests_per_device: 1000000, requests_per_user: 1000000 }}
""")  # one device does here what none may, but it is counted
        until = time.monotonic() + 10
        while not socket_path.exists() and time.monotonic() < until:
            time.sleep(0.02)
        self.run(belfry, "policy", "publish", "--charter", "charter.yaml", "--key", "federation.key", "--store", store)
        self.run(belfry, "policy", "publish", "finance.yaml", "--key", "entity.key", "--store", store)
        return {}, [belfry, "run", "-c", config]

    def between(self):
        os.truncate(self.folder / "audit.jsonl", 0)  # some 700 bytes a request

    def close(self):
        super().close()
        end(self.redis)


class HAProxy(Peer):
    name, title, package = "haproxy", "HAProxy, mTLS alone", "haproxy"
    rules = ""

    def prepare(self):
        both = self.write("server.pem", self.scenery.cert.read_text() + self.scenery.key.read_text())
        config = self.write("haproxy.cfg", f"""\
global
    nbthread 1
    maxconn 4000
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-bind-ciphersuites {CIPHER}
    ssl-default-bind-curves X25519:P-256
defaults
    mode http
    timeout connect 5s
    timeout client 120s
    timeout server 60s
frontend gateway
    bind 127.0.0.1:{self.port} ssl crt {both} ca-file {self.scenery.devices} verify required alpn h2,http/1.1
    http-request deny deny_status 403 unless {{ path_beg /b/ }} {{ method GET POST }}
{self.rules}
    http-request set-header X-Device %[ssl_c_s_dn(cn)]
    default_backend application
backend application
    http-reuse always
    server one 127.0.0.1:{self.scenery.origin_port} pool-max-conn 512
""")
        return {}, ["haproxy", "-db", "-f", config]


class HAProxyTokens(HAProxy):
    name, title = "haproxy-jwt", "HAProxy, mTLS and token"
    checks_tokens = True

    def prepare(self):
        from cryptography.hazmat.primitives import serialization
        public = self.folder / "idp.pub"
        public.write_bytes(self.scenery.signer.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        token = "var(txn.token)"
        self.rules = "\n".join(f"    http-request {rule}" for rule in [
            "set-var(txn.token) http_auth_bearer",
            f"set-var(txn.sub) {token},jwt_payload_query('$.sub')",
            f"deny deny_status 401 unless {{ {token},jwt_header_query('$.alg') -m str ES256 }}",
            f"deny deny_status 401 unless {{ {token},jwt_payload_query('$.iss') -m str {ISSUER} }}",
            f"deny deny_status 401 unless {{ {token},jwt_payload_query('$.aud') -m str {AUDIENCE} }}",
            "set-var(txn.now) date()",
            f"deny deny_status 401 unless {{ {token},jwt_payload_query('$.exp','int'),sub(txn.now) -m int gt 0 }}",
            f"deny deny_status 401 unless {{ {token},jwt_verify('ES256','{public}') -m int 1 }}",
            f"deny deny_status 403 unless {{ {token},jwt_payload_query('$.roles[0]') -m str staff }}",
            "del-header Authorization",
            "set-header X-User %[var(txn.sub)]"])
        return super().prepare()


class Nginx(Peer):
    name, title, package = "nginx", "nginx, mTLS alone", "nginx"

    def prepare(self):
        temporary = "\n".join(f"    {kind}_temp_path {self.folder}/{kind};"
                              for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = self.write("nginx.conf", f"""\
{"user root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes 1;
pid {self.folder}/pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
{temporary}
    keepalive_requests 100000000;
    keepalive_timeout 120s;
    client_body_buffer_size 128k;
    client_max_body_size 10m;
    map $request_method $is_refused {{ default 1; GET 0; POST 0; }}
    map $http_upgrade $connection_up {{ default upgrade; "" ""; }}
    upstream application {{ server 127.0.0.1:{self.scenery.origin_port}; keepalive 512; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{self.port} ssl http2;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {CIPHER};
        ssl_ecdh_curve X25519:prime256v1;
        ssl_certificate {self.scenery.cert};
        ssl_certificate_key {self.scenery.key};
        ssl_client_certificate {self.scenery.devices};
        ssl_verify_client on;
        location /b/ {{
            if ($is_refused) {{ return 403; }}
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Connection $connection_up;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Authorization "";
            proxy_set_header X-Device $ssl_client_s_dn;
        }}
        location / {{ return 403; }}
    }}
}}
""")
        return {}, ["nginx", "-c", config, "-p", self.folder]


class Nghttpx(Peer):
    name, title, package = "nghttpx", "nghttpx, mTLS alone", "nghttp2-proxy"

    def prepare(self):
        nowhere = free_port()
        config = self.write("nghttpx.conf", f"""\
frontend=127.0.0.1,{self.port}
backend=127.0.0.1,{self.scenery.origin_port};/b/
backend=127.0.0.1,{nowhere}
private-key-file={self.scenery.key}
certificate-file={self.scenery.cert}
verify-client=yes
verify-client-cacert={self.scenery.devices}
tls-min-proto-version=TLSv1.3
tls-max-proto-version=TLSv1.3
tls13-ciphers={CIPHER}
ecdh-curves=X25519:P-256
workers=1
accesslog-file=/dev/null
errorlog-file={self.folder}/error.log
frontend-http2-read-timeout=120s
frontend-read-timeout=120s
backend-connections-per-host=512
no-ocsp=yes
pid-file={self.folder}/pid
""")
        return {}, ["nghttpx", f"--conf={config}"]


class Caddy(Peer):
    name, title, package = "caddy", "Caddy, mTLS alone", "caddy"

    def prepare(self):
        config = self.write("Caddyfile", f"""\
{{
	admin off
	auto_https off
	log {{
		level ERROR
	}}
}}
https://{HOST}:{self.port} {{
	bind 127.0.0.1
	tls {self.scenery.cert} {self.scenery.key} {{
		protocols tls1.3
		curves x25519 secp256r1
		client_auth {{
			mode require_and_verify
			trusted_ca_cert_file {self.scenery.devices}
		}}
	}}
	@permitted {{
		path /b/*
		method GET POST
	}}
	handle @permitted {{
		reverse_proxy 127.0.0.1:{self.scenery.origin_port} {{
			header_up -Authorization
			header_up X-Device {{http.request.tls.client.subject}}
			transport http {{
				keepalive_idle_conns_per_host 512
				compression off
			}}
		}}
	}}
	handle {{
		respond 403
	}}
}}
""")
        home = str(self.folder)
        return ({"GOMAXPROCS": "1", "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home},
                ["caddy", "run", "--config", config, "--adapter", "caddyfile"])


PEERS = {kind.name: kind for kind in (Belfry, HAProxy, HAProxyTokens, Nginx, Nghttpx, Caddy)}
