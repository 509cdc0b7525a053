# SPDX-License-Identifier: EUPL-1.2
"""Everybody that a gateway believes, serves or answers has turned: providers sign tokens and say answers that are
valid and odd, authorities issue certificates that are, applications answer as none would, an entity's author signs
what no author would write. The gateway lives, whoever asks has a whole answer with a reason that the audit knows, and
nobody is let in whom a slow reading of the same would keep out.

The seed is printed; `HOSTILE_SEED` gives it back; `HOSTILE_S` and `--long` take more of each."""

import collections
import datetime
import http.server
import json
import os
import random
import re
import signal
import socket
import ssl
import struct
import threading
import time
import urllib.parse

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from callers import read_answer
from conftest import check_end
from devices import Authority
from forger import Prover, Signer, b64, unb64
from sign_in import Browser
from test_hostile_store import put, sealed
from world import UNLIMITED, World, until

TOLD, SHOWN, ASKED, BOUND, BEHIND = (f"{name}.finance.localhost" for name in ("told", "shown", "asked", "bound", "behind"))
PAGES, OPEN, CLAIMS = "pages.finance.localhost", "open.finance.localhost", "claims.health.localhost"
OWN = "https://own.finance.example"
SEED = int(os.environ.get("HOSTILE_SEED", random.SystemRandom().randrange(1 << 32)))
TIMES = pytest.mark.parametrize("budget_s", [float(os.environ.get("HOSTILE_S", 4)), pytest.param(180, marks=pytest.mark.long)])

WORDS = ["", "tax", "suspended", "anna", "a,b", ",", ",,,", " ", "tax ", "tax\0", "\0tax", "TAX", "t\u0430x", "\u202e", "\ufeff",
         "\r\nbelfry-assertion: x", "<script>", "'\"&<>", "%00", "\\", "\U0001f600", "\u00e9", "e\u0301", "\x7f", "\x1b[31m", "a" * 63, "a" * 255,
         "a" * 256, "a" * 257, "\u20ac" * 100, "a" * 1023, "a" * 4000, "own:anna", "${x}", "null", "0", "-", "..", "\n"]
NUMBERS = [0, -1, 1, 2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -2**63, 1e308, 1e-308, 0.5, 1e18, 253402300799]


class Raw(str):
    """JSON as it stands here."""


def some_word(dice):
    return dice.choice(WORDS) if dice.random() < 0.9 else "".join(dice.choice(WORDS) for _ in range(dice.randrange(1, 8)))[:6000]


def some_words(dice):
    """A list as groups have it: few or many, short or long."""
    kind = dice.choice((0, 1, 1, 1, 2, 3))
    if kind == 0:
        return [dice.choice((",", ",,", "", "a", "a,")) for _ in range(dice.choice((1, 63, 64, 65, 500, 3000)))]
    if kind == 1:
        return ["tax"] + [some_word(dice) for _ in range(dice.randrange(4))]
    if kind == 2:
        return [f"g{i}" for i in range(dice.choice((255, 256, 257, 1000)))] + dice.choice(([], ["tax"]))
    return [some_word(dice) for _ in range(dice.choice((0, 1, 2, 30)))]


def some_json(dice, depth=0):
    kind = dice.randrange(9)
    if kind < 3:
        return some_word(dice)
    if kind == 3:
        return dice.choice(NUMBERS)
    if kind == 4:
        return dice.choice((None, True, False))
    if kind == 5 and depth < 3:
        return {some_word(dice)[:300]: some_json(dice, depth + 1) for _ in range(dice.choice((0, 1, 3, 40)))}
    if kind == 6:
        deep = dice.choice((10, 31, 32, 33, 64, 500))
        return Raw("[" * deep + "]" * deep)
    return dice.choice((some_words(dice), [some_json(dice, depth + 1) for _ in range(dice.randrange(3))] if depth < 3 else []))


def text_of(value):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(key))}:{text_of(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def some_object(dice, claims, odd):
    """The claims, some of them odd, some left out, some there twice."""
    claims = dict(claims)
    if dice.random() < 0.3:
        return text_of(claims)
    for name in dice.sample(odd, min(len(odd), dice.choice((0, 1, 1, 2, 4)))):
        claims[name] = some_json(dice)
    for name in dice.sample(sorted(claims), dice.choice((0, 0, 0, 0, 0, 0, 0, 1))):
        del claims[name]
    pairs = list(claims.items())
    if dice.random() < 0.1 and pairs:
        pairs.append((dice.choice(pairs)[0], some_json(dice)))
    if dice.random() < 0.1:
        pairs += [(f"x{i}", some_word(dice)) for i in range(dice.choice((1, 60, 300)))]
    dice.shuffle(pairs)
    return "{" + ",".join(f"{json.dumps(name)}:{text_of(value)}" for name, value in pairs) + "}"


def may_be_in(text, word):
    """Whether any list or text of that name says the word, by anybody's reading of it."""
    def said(value):
        return value == word or isinstance(value, list) and any(map(said, value)) or isinstance(value, str) and word in re.split(r"[ ,]", value)

    return said_of(text, "roles", said)


def said_of(text, name, said):
    found = []
    json.loads(text, object_pairs_hook=lambda pairs: found.extend(v for k, v in pairs if k == name) or dict(pairs), parse_int=float)
    return any(map(said, found))


# Who has turned


class Provider:
    """HTTPS at idp.localhost. `says`: the first segment of a path → function of (path, form) → (status, fields, bytes)."""

    def __init__(self, world):
        self.says, self.asked = {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("content-length") or 0)
                form = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode()))
                outer.asked.append(self.path)
                found = outer.says.get(self.path.split("/")[1].split("?")[0])
                status, fields, body = found(self.path, form) if found else (404, {}, b"")
                try:
                    self.send_response(status)
                    for name, value in {"content-length": len(body), "connection": "close", **fields}.items():
                        self.send_header(name, str(value))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # whoever asked has had enough

            do_POST = do_GET

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        home = world.pki / "certificates/idp.localhost"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(home / "fullchain.pem", home / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.issuer = f"https://idp.localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Application:
    """Plain HTTP. The path's number says which of `scripts` it plays: pieces of bytes, and how it ends."""

    def __init__(self):
        self.scripts = {}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()

    def _serve(self, peer):
        try:
            with peer:
                peer.settimeout(10)
                data = b""
                while b"\r\n\r\n" not in data:
                    more = peer.recv(65536)
                    if not more:
                        return
                    data += more
                number = re.match(rb"\S+ /(\d+)", data)
                if not (script := self.scripts.get(int(number[1]))):
                    return  # asked once more, after it was over
                pieces, end = script
                for piece in pieces:
                    peer.sendall(piece)
                    time.sleep(0.001)
                if end == "reset":
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif end == "stays":
                    while peer.recv(65536):
                        pass
        except OSError:
            pass


@pytest.fixture(scope="module")
def signer():
    return Signer("own-1")


@pytest.fixture(scope="module")
def world(signer):
    more = UNLIMITED + "timeouts: { head: 2s, stalled: 2s, handshake: 5s }\n"
    with World(workers=2, hosts=[TOLD, SHOWN, ASKED, BOUND, BEHIND, PAGES], extra_config=more) as made:
        secrets = made.folder / "secrets/fod-finance"
        made.application = Application()
        made.begin()
        (secrets / "turned").write_text("a-secret\n")
        (secrets / "turned").chmod(0o600)
        made.turned = Provider(made)
        made.turned.says["turned"] = lambda path, form: discovered(made, signer, path)
        made.store_itself = redis.Redis(unix_socket_path=str(made.redis_socket))
        made.update("finance", lambda text: with_ours(made, signer, text))
        yield made
        check_end(made)


def discovered(world, signer, path):
    issuer = f"{world.turned.issuer}/turned"
    if path.endswith("/jwks"):
        return 200, {"content-type": "application/json"}, json.dumps({"keys": [signer.jwk]}).encode()
    return 200, {"content-type": "application/json"}, json.dumps({
        "issuer": issuer, "jwks_uri": f"{issuer}/jwks", "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{world.turned.issuer}/token", "userinfo_endpoint": f"{world.turned.issuer}/userinfo",
        "response_types_supported": ["code"], "id_token_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256"]}).encode()


RULES = """
    rules:
      - id: tax
        permit: { paths: ["/tax/**"] }
        when: '"tax" in user.groups'
      - id: anna
        permit: { paths: ["/anna/**"] }
        when: 'user.subject == "anna"'
      - id: level
        permit: { paths: ["/level/**"] }
        when: 'user.acr_level >= 400'
      - id: suspended
        forbid: {}
        when: '"suspended" in user.groups'
"""


def with_ours(world, signer, text):
    jwks = json.dumps({"keys": [signer.jwk]})
    text = text.replace("identity_providers:\n", "sign_in: { host: login.finance.localhost }\n\nidentity_providers:\n", 1)
    text = text.replace("device_authorities:\n", f"""\
  - id: own
    issuer: {OWN}
    audiences: [own-api]
    jwks: '{jwks}'
    claims: {{ groups: roles, acr: [acr, amr] }}
  - id: asked
    issuer: {world.turned.issuer}
    audiences: [own-api]
    jwks: '{jwks}'
    claims: {{ groups: roles, acr: [acr, amr] }}
    introspection:
      endpoint: {world.turned.issuer}/introspect
      client_id: belfry
      client_secret: ${{secret:turned}}
  - id: turned
    issuer: {world.turned.issuer}/turned
    audiences: [own-api]
    claims: {{ groups: roles, acr: [acr, amr] }}
    sign_in:
      client_id: belfry
      client_secret: ${{secret:turned}}
      userinfo: true
      scopes: [openid, roles]
device_authorities:
""", 1)
    for host, more in ((TOLD, "identity_providers: [own]"), (ASKED, "identity_providers: [asked]"),
                       (BOUND, "identity_providers: [own]\n    dpop: required"),
                       (PAGES, "identity_providers: [turned]\n    sessions: { unbound: allow }")):
        text += f"""
  - id: {host.split(".")[0]}
    host: {host}
    device: none
    {more}
    upstreams: [http://127.0.0.1:{world.origin.port}]{RULES}"""
    return text + f"""
  - id: shown
    host: {SHOWN}
    device: optional
    upstreams: [http://127.0.0.1:{world.origin.port}]
    rules:
      - id: desk
        permit: {{ paths: ["/desk/**"] }}
        when: '"desk" in device.organizational_units'
      - id: laptop
        permit: {{ paths: ["/laptop/**"] }}
        when: 'device.common_name == "laptop-0001"'
      - id: named
        permit: {{ paths: ["/named/**"] }}
        when: 'device.id == "finance-laptops:laptop-0001"'

  - id: behind
    host: {BEHIND}
    device: none
    upstreams: [http://127.0.0.1:{world.application.port}]
    timeouts: {{ idle: 1s, first_byte: 1s }}
    rules:
      - id: everybody
        permit: {{}}
"""


# What everybody is owed


class Rounds:
    """Runs `once(dice)` until the time is over; what went wrong says by which number it comes again."""

    def __init__(self, world, budget_s, name):
        self.world, self.end, self.name = world, time.monotonic() + budget_s, name
        self.counts, self.refused, self.told, self.read = {}, 0, 0, len(world.events())
        self.reasons = collections.Counter()  # by the audit
        print(f"HOSTILE_SEED={SEED}")

    def run(self, once, expected=()):
        """`expected`: statuses that many rounds can't be without."""
        number = 0
        while time.monotonic() < self.end:
            number += 1
            try:
                once(random.Random(f"{SEED} {self.name} {number}"))
            except Exception as wrong:
                dead = self.world.gateway.poll() is not None
                raise AssertionError(f"HOSTILE_SEED={SEED}, {self.name} {number}{', and it died' if dead else ''}: {wrong!r}\n"
                                     + self.world.log_text()[-6000:] * dead) from wrong
        self.check()
        assert number < 200 or set(expected) <= self.counts.keys(), self.counts
        print(f"{self.name}: {number} rounds, {self.counts}, {dict(self.reasons)}")

    def take(self, answer):
        """Any answer. One of the gateway's own says why, to whoever asked and in the audit."""
        self.counts[answer.status] = self.counts.get(answer.status, 0) + 1
        assert 200 <= answer.status < 600, answer
        reference = answer.get("belfry-reference")
        if answer.status >= 400 and not answer.get("x-theirs"):
            assert reference and reference.encode() in answer.body, (answer, answer.fields)
            if answer.get("content-type") == "application/problem+json":
                assert json.loads(answer.body)["reference"] == reference
            self.refused += 1
        return answer

    def check(self):
        """All that was refused stands in the audit with a reason, of many alike how many; another entity has not noticed."""
        def told():
            for event in self.world.events()[self.read:]:
                self.read += 1
                if event.get("belfry.reason_code") not in (None, "permitted"):
                    self.told += event.get("belfry.count", 1)
                    self.reasons[event["belfry.reason_code"] + (":" + event["belfry.detail"][:60] if "belfry.detail" in event else "")] += event.get("belfry.count", 1)
            return self.told

        until(lambda: told() >= self.refused, "the audit has them all", 20)
        assert self.world.ask(CLAIMS).problem == "device_required"
        assert self.world.ask(OPEN, "/well").status == 200


def line_of(world, host, context=None):
    tls = world.tls(host, context=context)
    tls.settimeout(20)
    return tls


class Line:
    """Requests one behind the other; a connection that has ended is made again."""

    def __init__(self, world, host):
        self.world, self.host, self.tls = world, host, None

    def ask(self, path, fields=(), method="GET", body=b""):
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.host}", *(f"{name}: {value}" for name, value in fields)]
        if body or method == "POST":
            lines.append(f"content-length: {len(body)}")
        self.tls = self.tls or line_of(self.world, self.host)
        try:
            self.tls.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            answer, rest = read_answer(self.tls)
        except BaseException:
            self.tls.close()
            self.tls = None
            raise
        assert not rest, rest
        if answer.get("connection") == "close":
            self.tls.close()
            self.tls = None
        return answer


def told_by_the_gateway(world, reference_path):
    """What the application was told of who asks: the assertion's claims."""
    request = world.origin.seen(reference_path)[-1]
    return json.loads(unb64(request.get("belfry-assertion").split(".")[1]))


ODD = ["sub", "roles", "acr", "amr", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "cnf", "act", "auth_time", "azp", "name", "email"]


def claims_of(dice, issuer):
    now = int(time.time())
    return {"iss": issuer, "aud": "own-api", "sub": dice.choice(("anna", "somebody", some_word(dice))), "client_id": "test",
            "jti": b64(dice.randbytes(9)), "iat": now, "exp": now + 300, "roles": some_words(dice),
            "acr": dice.choice(("400", some_word(dice)))}


def check_told(world, answer, path, payload):
    """Nobody is let in whom the payload does not let in, and the application hears no more than the payload says."""
    if answer.status != 200:
        assert answer.status in (400, 401, 403, 413, 431, 502, 503), answer
        return
    where = path.split("/")[1]
    if where == "tax":
        assert may_be_in(payload, "tax"), payload
    elif where == "anna":
        assert said_of(payload, "sub", lambda v: v == "anna"), payload
    else:
        assert where == "level"
    claims = told_by_the_gateway(world, path)
    assert len(world.origin.seen(path)[-1].all("belfry-assertion")) == 1
    for group in claims.get("groups", []):
        assert may_be_in(payload, group) or group in json.dumps(payload), (group, payload)
    assert not may_be_in(payload, "suspended") or "suspended" not in claims.get("groups", []), payload


# Providers


@TIMES
def test_odd_tokens_that_are_validly_signed(world, signer, budget_s):
    rounds, line, bound, prover = Rounds(world, budget_s, "tokens"), Line(world, TOLD), Line(world, BOUND), Prover()

    def once(dice):
        world.origin.clear()
        path = f"/{dice.choice(('tax', 'anna', 'level'))}/{dice.randrange(10**9)}"
        header = {"alg": "ES256", "typ": "at+jwt", "kid": "own-1"}
        if dice.random() < 0.2:
            header[dice.choice(("typ", "kid", "x", "crit", "jku", "jwk", "b64"))] = some_json(dice)
        payload = some_object(dice, claims_of(dice, OWN), ODD)
        binds = dice.random() < 0.3
        if binds and dice.random() < 0.8:
            payload = payload[:-1] + (',' if len(payload) > 2 else '') + f'"cnf":{{"jkt":"{prover.thumbprint}"}}}}'
        token = signer.sign(text_of(header), payload)
        if len(token) > 30000:
            return
        fields = [("accept", dice.choice(("application/json", "text/html", "*/*")))]
        if binds:
            url = f"https://{BOUND}:{world.port}{path}"
            proof = prover.proof("GET", url, token)
            if dice.random() < 0.5:
                head, _, _ = proof.split(".")
                body = some_object(dice, {"jti": b64(os.urandom(12)), "htm": "GET", "htu": url, "iat": int(time.time()),
                                          "ath": json.loads(unb64(proof.split(".")[1]))["ath"]}, ["jti", "htm", "htu", "iat", "ath", "nonce"])
                proof = prover.sign(unb64(head).decode(), body)
            fields += [("authorization", f"DPoP {token}"), ("dpop", proof)]
        else:
            fields.append(("authorization", f"Bearer {token}"))
        if sum(map(len, map(str, fields))) > 30000:
            return
        answer = rounds.take((bound if binds else line).ask(path, fields))
        check_told(world, answer, path, payload)

    rounds.run(once, {200, 401, 403})


@TIMES
def test_odd_answers_about_tokens_that_only_the_provider_reads(world, budget_s):
    rounds, line, said = Rounds(world, budget_s, "introspection"), Line(world, ASKED), {}
    world.turned.says["introspect"] = lambda path, form: said["answer"]

    def once(dice):
        world.origin.clear()
        path = f"/{dice.choice(('tax', 'anna', 'level'))}/{dice.randrange(10**9)}"
        claims = claims_of(dice, world.turned.issuer)
        claims |= {"active": True, "token_type": "Bearer"}
        body = some_object(dice, claims, [*ODD, "active", "iss", "token_type", "username"])
        status, fields = (200, {}) if dice.random() < 0.95 else dice.choice(((201, {}), (204, {}), (302, {"location": "/"}), (401, {}), (500, {})))
        if dice.random() < 0.1:
            body = dice.choice((body[:-1], body + body, "[]", "null", "", "\ufeff" + body, body + "\0", " " * 70000, '{"active":true}'))
        said["answer"] = (status, {"content-type": "application/json", **fields}, body.encode())
        answer = rounds.take(line.ask(path, [("accept", "application/json"), ("authorization", f"Bearer {b64(dice.randbytes(24))}")]))
        if answer.status == 200:
            assert status in (200, 201) and said_of(body, "active", lambda v: v is True), (status, body)
        check_told(world, answer, path, body)

    rounds.run(once, {200, 401, 403})


@TIMES
def test_odd_sign_ins_at_a_provider_that_has_turned(world, signer, budget_s):
    rounds = Rounds(world, budget_s, "sign-in")
    issuer, said = f"{world.turned.issuer}/turned", {}
    world.turned.says["token"] = lambda path, form: said["token"]
    world.turned.says["userinfo"] = lambda path, form: said["userinfo"]

    def once(dice):
        world.origin.clear()
        person, json_type = Browser(world), {"content-type": "application/json"}
        path = f"/{dice.choice(('tax', 'anna'))}/{dice.randrange(10**9)}?{urllib.parse.quote(some_word(dice))[:3000]}"
        page = person.go(f"https://{PAGES}:{world.port}{path}", stop=lambda url: url.startswith(world.turned.issuer))
        if page.status not in (302, 303, 307):
            rounds.take(page)
            return
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page.get("location")).query))
        now = int(time.time())
        claims = {"iss": issuer, "aud": "belfry", "sub": dice.choice(("anna", some_word(dice))), "iat": now, "exp": now + 300, "nonce": asked["nonce"],
                  "roles": some_words(dice), "sid": "s", "auth_time": now}
        payload = some_object(dice, claims, [*ODD, "nonce", "sid", "at_hash", "iss"])
        known = some_object(dice, {"sub": claims["sub"], "roles": some_words(dice)}, ["sub", "roles", "name"])
        granted = {"id_token": signer.sign({"alg": "ES256", "typ": "JWT", "kid": "own-1"}, payload), "access_token": "opaque",
                   "token_type": "Bearer", "expires_in": 300, "refresh_token": some_word(dice)}
        said["token"] = (dice.choice((200, 200, 200, 200, 400, 500)), json_type,
                         some_object(dice, granted, ["access_token", "token_type", "expires_in", "refresh_token", "scope", "error"]).encode())
        said["userinfo"] = (dice.choice((200, 200, 200, 401)), json_type, known.encode())
        back = {"code": dice.choice(("a-code", some_word(dice))), "state": asked["state"]}
        if dice.random() < 0.3:
            back[dice.choice(("iss", "error", "error_description", "error_uri", "session_state", "state", "x"))] = some_word(dice)
        page = person.go(f"{asked['redirect_uri']}?{urllib.parse.urlencode(back)[:7000]}")
        page = person.wait_through(page)
        for _ in range(5):
            if page.status not in (301, 302, 303, 307):
                break
            page = person.wait_through(person.step(page))
        rounds.take(page)
        if page.status == 200 and world.origin.requests:
            target = world.origin.requests[-1].target
            where = target.split("/")[1]
            both = f"[{payload},{known}]"
            assert may_be_in(both, "tax") if where == "tax" else said_of(payload, "sub", lambda v: v == "anna"), (payload, known)

    rounds.run(once)


@TIMES
def test_odd_discovery_documents_and_key_sets(world, signer, budget_s):
    rounds, store, documents = Rounds(world, budget_s, "discovery"), world.store_itself, {}
    plain = store.get("belfry:bundle:fod-finance").partition(b"\n\n")[2].decode()
    serial = [int(re.search(r"(?m)^serial: (\d+)$", plain)[1])]

    def say(path, form):
        return documents[path.split("/")[2]][path.endswith("/jwks")]

    world.turned.says["odd"] = say

    def key_set(dice):
        keys = []
        for _ in range(dice.choice((0, 1, 2, 70, 400))):
            key = dict(signer.jwk, kid=some_word(dice))
            for name in dice.sample(["kty", "crv", "x", "y", "alg", "use", "kid", "n", "e", "key_ops", "x5c"], dice.choice((0, 1, 1, 2))):
                key[name] = some_json(dice)
            if dice.random() < 0.3:
                key = {"kty": "RSA", "kid": "r", "n": b64(dice.randbytes(dice.choice((1, 128, 256, 512, 1024, 2049)))),
                       "e": dice.choice(("AQAB", "Aw", "", "AA", b64(dice.randbytes(300))))}
            keys.append(key)
        return text_of({"keys": keys if dice.random() < 0.9 else some_json(dice)}).encode()

    def once(dice):
        serial[0] += 1
        ids = [f"odd{serial[0]}x{i}" for i in range(4)]
        more = ""
        for name in ids:
            issuer = f"{world.turned.issuer}/odd/{name}"
            found = some_object(dice, {"issuer": issuer, "jwks_uri": f"{issuer}/jwks", "token_endpoint": f"{issuer}/token",
                                       "authorization_endpoint": f"{issuer}/authorize"},
                                ["jwks_uri", "token_endpoint", "authorization_endpoint", "userinfo_endpoint", "end_session_endpoint", "issuer",
                                 "id_token_signing_alg_values_supported", "backchannel_logout_supported"])
            json_type = {"content-type": "application/json"}
            documents[name] = ((dice.choice((200, 200, 200, 200, 302, 500)), json_type, found.encode()),
                               (dice.choice((200, 200, 200, 404)), json_type, key_set(dice)))
            more += f"  - id: {name}\n    issuer: {issuer}\n    audiences: [own-api]\n"
        apps = f"""
  - id: odd
    host: odd.finance.localhost
    device: none
    identity_providers: [{", ".join(ids)}]
    upstreams: [http://127.0.0.1:{world.origin.port}]
    rules: [{{ id: all, permit: {{}}, when: 'user.subject != ""' }}]
"""
        text = re.sub(r"(?m)^serial: \d+$", f"serial: {serial[0]}", plain).replace("device_authorities:\n", more + "device_authorities:\n", 1)
        before, asked = world.metric("belfry_snapshot"), len(world.turned.asked)
        put(world, "bundle:fod-finance", sealed(world, "bundle", (text + apps).encode(), "finance"), serial[0])
        until(lambda: world.metric("belfry_snapshot") > before, "the bundle is live", 30)
        until(lambda: any(path.startswith("/odd/") for path in world.turned.asked[asked:]), "they are asked", 30)
        answer = Line(world, TOLD).ask("/anna/1", [("authorization", f"Bearer {signer.token(OWN, 'own-api', payload={'sub': 'anna'})}")])
        assert rounds.take(answer).status == 200

    rounds.run(once)
    last = re.sub(r"(?m)^serial: \d+$", f"serial: {serial[0] + 1}", plain)
    put(world, "bundle:fod-finance", sealed(world, "bundle", last.encode(), "finance"), serial[0] + 1)
    world.policy_file("finance").write_text(last)


# Authorities


def some_name(dice):
    ids = [NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME, NameOID.SERIAL_NUMBER, NameOID.DOMAIN_COMPONENT,
           ObjectIdentifier("2.5.4.12345"), NameOID.EMAIL_ADDRESS, NameOID.TITLE]
    values = [word for word in WORDS if word] + ["desk", "laptop-0001", "desk,laptop-0001", "desk\0", "laptop-0001\0x", "OU=desk", "laptop-0001+OU=desk"]
    sets = []
    for _ in range(dice.choice((0, 1, 2, 3, 8, 60, 300))):
        several = {}
        for _ in range(dice.choice((1, 1, 1, 2, 5))):
            kind = dice.choice((*ids[:2], *ids))
            several[kind, dice.choice(values)] = None
        sets.append(x509.RelativeDistinguishedName([x509.NameAttribute(kind, value, _validate=False) for kind, value in several
                                                    if kind not in (NameOID.DOMAIN_COMPONENT, NameOID.EMAIL_ADDRESS) or value.isascii()]
                                                   or [x509.NameAttribute(NameOID.COMMON_NAME, "x")]))
    if dice.random() < 0.4:
        sets.append(x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "laptop-0001")]))
    if dice.random() < 0.4:
        sets.append(x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "desk")]))
    return x509.Name(sets)


def some_certificate(dice, authority, key):
    now = datetime.datetime.utcnow().replace(microsecond=0)
    builder = (x509.CertificateBuilder().subject_name(some_name(dice)).issuer_name(authority.certificate.subject).public_key(key.public_key())
               .serial_number(dice.choice((1, dice.getrandbits(63) + 1, dice.getrandbits(158) + 1, 2**159 - 1)))
               .not_valid_before(dice.choice((now - datetime.timedelta(days=1), datetime.datetime(1970, 1, 1))))
               .not_valid_after(dice.choice((now + datetime.timedelta(days=1), datetime.datetime(9999, 12, 31, 23, 59, 59))))
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), False)
               .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH] + [ObjectIdentifier(f"1.2.3.{i}") for i in range(dice.choice((0, 0, 90)))]), False))
    names = []
    for i in range(dice.choice((0, 0, 1, 3, 100, 2000))):
        names.append(dice.choice((
            lambda: x509.DNSName(dice.choice(("a", "*.x", f"host{i}.example", "a" * 250, "x\0y"))),
            lambda: x509.UniformResourceIdentifier(dice.choice(("spiffe://finance.example/batch", "urn:x", "", "spiffe://" + "a" * 300, "spiffe://x/\0"))),
            lambda: x509.RFC822Name(dice.choice(("a@b.example", "a\0@b"))),
            lambda: x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c" + bytes([len("laptop-0001")]) + b"laptop-0001")))())
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    if dice.random() < 0.3:
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.32473.1"), dice.randbytes(dice.choice((0, 10, 20000)))),
                                        dice.random() < 0.2)
    if dice.random() < 0.3:
        points = [x509.DistributionPoint([x509.UniformResourceIdentifier(f"http://idp.localhost/{i}")], None, None, None) for i in range(dice.choice((1, 300)))]
        builder = builder.add_extension(x509.CRLDistributionPoints(points), False)
    return builder.sign(authority.key, hashes.SHA256())


@TIMES
def test_odd_certificates_that_are_validly_issued(world, budget_s, tmp_path):
    rounds, authority, key = Rounds(world, budget_s, "certificates"), Authority.of(world, "finance-devices"), ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    file = tmp_path / "odd.pem"

    def once(dice):
        certificate = some_certificate(dice, authority, key)
        file.write_bytes(certificate.public_bytes(form.Encoding.PEM) + private)
        context = world.context()
        context.load_cert_chain(file)
        try:
            with line_of(world, SHOWN, context) as tls:
                for where in ("desk", "laptop", "named"):
                    tls.sendall(f"GET /{where}/1 HTTP/1.1\r\nhost: {SHOWN}\r\naccept: {dice.choice(('text/html', 'application/json'))}\r\n\r\n".encode())
                    answer, _ = read_answer(tls)
                    rounds.take(answer)
                    kind = NameOID.ORGANIZATIONAL_UNIT_NAME if where == "desk" else NameOID.COMMON_NAME
                    said = [one.value for one in certificate.subject.get_attributes_for_oid(kind)]
                    assert answer.status != 200 or ("desk" if where == "desk" else "laptop-0001") in said, certificate.subject
        except (ssl.SSLError, ConnectionError):  # not even a connection: too long, or no certificate for anybody
            rounds.counts["none"] = rounds.counts.get("none", 0) + 1

    rounds.run(once, {200, 403})


# Applications


def some_answer(dice):
    """(pieces, end) of an answer that begins well and goes on as it likes."""
    head = b"".join(b"HTTP/1.1 103 x\r\nlink: <" + b"a" * dice.choice((0, 1, 4000)) + b">\r\n\r\n" for _ in range(dice.choice((0, 0, 0, 1, 20, 200))))
    fields = [b"x-theirs: 1"]
    for _ in range(dice.choice((0, 0, 3, 60, 200))):
        fields.append(dice.choice((b"x", b"set-cookie", b"server-timing", b"link", b"trailer", b"connection", b"vary", b"www-authenticate", b"location", b"alt-svc",
                                   b"content-type", b"content-security-policy", b"grpc-status", b"proxy-status", b"belfry-reference", b"refresh")) + b": "
                      + dice.choice((b"", b"a", b"x" * 5000, b"__Host-belfry=x; Secure", b", , ,", b"\xff\xfe", b"a\tb", b"close, x", b"max-age=99999999999999999999",
                                     b"\"" + b"\\" * 50)))
    body = dice.randbytes(dice.choice((0, 1, 100, 16384, 70000)))
    framing = dice.randrange(4)
    if framing == 0:
        fields.append(b"content-length: %d" % (len(body) + dice.choice((0, 0, 0, 1, -1, 10**18))))
    elif framing < 3:
        fields.append(b"transfer-encoding: chunked")
        cuts, out = sorted(dice.randrange(len(body) + 1) for _ in range(dice.choice((0, 1, 5, 100)))), b""
        for begin, end in zip([0, *cuts], [*cuts, len(body)]):
            if end > begin:
                extension = dice.choice((b"", b"", b";x", b';a="b"', b";" + b"x" * dice.choice((1, 300, 5000))))
                out += dice.choice((b"%x", b"%X", b"0%x", b"00000000%x", b"0000000000000000%x")) % (end - begin) + extension + b"\r\n" + body[begin:end] + b"\r\n"
        body = out + dice.choice((b"0", b"0", b"000", b"0;x")) + b"\r\n" + dice.choice(
            (b"", b"x-sum: 1\r\n", b"belfry-assertion: x\r\ncontent-length: 3\r\n", b"x: y\r\n" * 70, b"x:" + b"y" * 9000 + b"\r\n")) + b"\r\n"
    status = dice.choice((b"200 OK", b"200", b"200 ", b"204 x", b"304 x", b"404 " + b"x" * 500, b"500 x", b"599 x", b"101 x", b"199 x", b"999 x", b"205 x", b"407 x", b"421 x"))
    dice.shuffle(fields)
    whole = head + b"HTTP/1.1 " + status + b"\r\n" + b"\r\n".join(fields) + b"\r\n\r\n" + body
    if dice.random() < 0.3:
        at = dice.randrange(len(whole))
        whole = whole[:at] + dice.choice((b"", b"\0", b"\n", b"\r", dice.randbytes(3))) + whole[at + dice.choice((0, 1)):]
    if dice.random() < 0.4:
        whole = whole[:dice.randrange(len(whole) + 1)]
    pieces, step = [], dice.choice((1, 7, 1000, 100000))
    for at in range(0, min(len(whole), step * 40), step):
        pieces.append(whole[at:at + step])
    pieces.append(whole[len(pieces) * step:])
    return [piece for piece in pieces if piece], dice.choice(("close", "close", "reset", "stays"))


@TIMES
def test_odd_answers_of_an_application(world, budget_s):
    """Whoever asks may go at any moment too."""
    rounds, scripts, count = Rounds(world, budget_s, "answers"), world.application.scripts, [0]

    def once(dice):
        count[0] += 1
        scripts[count[0]] = some_answer(dice)
        method = dice.choice(("GET", "GET", "HEAD", "POST"))
        alpn = dice.choice(("http/1.1", "h2"))
        try:
            if alpn == "h2":
                answer = world.ask(BEHIND, f"/{count[0]}", method, http="2", body=b"x" * 70000 if method == "POST" else None)
            else:
                with line_of(world, BEHIND) as tls:
                    body = b"x" * dice.choice((0, 5, 70000)) if method == "POST" else b""
                    more = f"content-length: {len(body)}\r\n" if method == "POST" else ""
                    tls.sendall(f"{method} /{count[0]} HTTP/1.1\r\nhost: {BEHIND}\r\nconnection: close\r\n{more}\r\n".encode() + body)
                    if dice.random() < 0.2:  # gone
                        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        time.sleep(dice.choice((0, 0.001, 0.01)))
                        return
                    data = b""
                    while piece := tls.recv(262144):
                        data += piece
                    if not data:
                        return
                    assert data.startswith(b"HTTP/1.1 ") and b"\r\n\r\n" in data, data[:300]
                    assert b"\r\nset-cookie: __Host-belfry" not in data.lower(), data[:300]
                    return
            assert answer.status >= 200 and "__Host-belfry" not in "".join(answer.all("set-cookie")), answer.fields
        except (OSError, IndexError):  # broken off, as the application did
            return
        finally:
            del scripts[count[0]]

    rounds.run(once)
    until(lambda: world.metric("belfry_requests_open") == 0, "a request is still under way", 20)


# Whoever asks


def some_request(dice):
    """(method, target, fields, body) within what the gateway takes, more or less."""
    words = [urllib.parse.quote(word, safe="") for word in WORDS] + ["a", "a=b", "&", "&&&", "%2f", "%2e%2e", ";", "x" * 900, "%c3%a9", "%ff"]
    path = "/" + "/".join(dice.choice(words) for _ in range(dice.choice((0, 1, 3, 20))))
    if dice.random() < 0.5:
        path = "/.belfry/" + dice.choice(("whoami", "sign-in", "sign-out", "session", "jwks.json", "x", "callback", "hand-over", "language", "")) + dice.choice(("", "/", "/x"))
    query = "?" + "".join(dice.choice((*words, "return=", "&lang=nl&", "state=", "code=", "=")) for _ in range(dice.choice((0, 1, 10, 60))))
    if dice.random() < 0.2:
        query = "?" + dice.choice("&<\"'=a%+/") * dice.choice((1000, 4000, 7900))
    fields = [("accept", dice.choice(("text/html", "application/json", "*/*", "text/event-stream", ",,,", "application/grpc", "a" * 2000)))]
    pairs = ["a=b", "a", "", "=", "__Host-belfry=x", "__Host-belfry-try-x=y", "__Host-belfry-at-x=y", "__Host-belfry=" + "A" * 300, "x" * 700, "a=\"b\"", "belfry-language=fr"]
    for _ in range(dice.choice((0, 1, 1, 3))):
        fields.append(("cookie", dice.choice((";", "; ", ";  ", " ; ", ";;")).join(dice.choice(pairs) for _ in range(dice.choice((1, 3, 60, 600))))[:12000]))
    for _ in range(dice.choice((0, 0, 3, 30))):
        fields.append((dice.choice(("x-a", "accept-language", "traceparent", "tracestate", "x-forwarded-for", "forwarded", "te", "range", "origin", "referer", "dpop", "priority",
                                    "authorization", "content-type", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "belfry-assertion", "via", "user-agent", "if-none-match")),
                       dice.choice(("", "a", "x" * 3000, "nl;q=0.5, fr;q=1.0, de;q=" + "9" * 50, "Bearer a.b.c", "Basic eA==", "Bearer " + "a" * 3000, ", ,", "navigate", "document", "\t",
                                    "00-" + "1" * 32 + "-" + "2" * 16 + "-01", "u=9, i=?1", "application/x-www-form-urlencoded", "h\u00e9"))))
    method = dice.choice(("GET", "GET", "POST", "HEAD", "OPTIONS", "PUT", "X" * 20))
    body = b""
    if method in ("POST", "PUT"):
        body = "&".join(dice.choice(words) + dice.choice(("", "=" + dice.choice(words))) for _ in range(dice.choice((0, 1, 10, 500)))).encode()
        fields.append(("content-type", "application/x-www-form-urlencoded"))
    return method, (path + dice.choice(("", query)))[:15000], fields, body


@TIMES
def test_odd_requests(world, budget_s):
    rounds = Rounds(world, budget_s, "requests")
    lines = {host: Line(world, host) for host in (OPEN, TOLD, PAGES, SHOWN, "login.finance.localhost")}

    def once(dice):
        world.origin.clear()
        host = dice.choice(list(lines))
        method, target, fields, body = some_request(dice)
        if method == "HEAD":
            method = "GET"
        try:
            answer = lines[host].ask(target, fields, method, body)
        except (AssertionError, OSError):  # it may say goodbye in the middle of one that is too much, never of another
            total = sum(len(name) + len(value) for name, value in fields) + len(target)
            assert world.gateway.poll() is None and (total > 8000 or body), (method, target, fields)
            return
        rounds.take(answer)
        assert answer.status != 200 or host == OPEN or not [r for r in world.origin.requests if not r.target.startswith("/.")], target
        for request in world.origin.requests:
            assert len(request.all("belfry-assertion")) == 1 and request.get("belfry-assertion").count(".") == 2
            assert "__Host-belfry" not in "".join(request.all("cookie")), request.raw

    rounds.run(once)


# All at once


@TIMES
def test_who_asks_goes_at_any_moment_while_rules_keys_and_blocks_change(world, signer, budget_s):
    """In the middle of a question to the provider, of a connection to the application, of a body, of an answer that is
    judged again: whatever is under way when somebody goes belongs to nobody any more."""
    world.turned.says["introspect"] = lambda path, form: slowly(200, {}, json.dumps(
        {"active": True, "token_type": "Bearer", "iss": world.turned.issuer, "aud": "own-api", "sub": "anna", "roles": ["tax"]}).encode())
    over, wrong, gone = threading.Event(), [], collections.Counter()
    good = signer.token(OWN, "own-api", payload={"sub": "anna", "roles": ["tax"]})

    def slowly(*answer):
        time.sleep(random.random() * 0.02)
        return answer

    def who_asks(dice):
        host, path, more = dice.choice((
            (TOLD, "/anna/1", f"authorization: Bearer {good}\r\n"), (TOLD, "/ticks", f"authorization: Bearer {good}\r\n"),
            (ASKED, "/tax/1", f"authorization: Bearer {b64(dice.randbytes(24))}\r\n"), (OPEN, "/bytes/3000000", ""), (OPEN, "/chunked/300000", ""),
            (OPEN, "/never", ""), (OPEN, "/ticks", ""), (PAGES, "/.belfry/sign-in", "accept: text/html\r\n")))
        body = dice.randbytes(dice.choice((0, 10, 200000))) if host == OPEN else b""
        method = "POST" if body else "GET"
        length = f"content-length: {len(body) + dice.choice((0, 1000))}\r\n" if body else ""
        with line_of(world, host) as tls:
            tls.sendall(f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n{more}{length}\r\n".encode() + body[:dice.randrange(len(body) + 1)])
            time.sleep(dice.choice((0, 0.002, 0.01, 0.05)))
            if dice.random() < 0.3:
                tls.settimeout(0.05)
                tls.recv(dice.choice((1, 20000)))
            if dice.random() < 0.7:
                tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def run(number):
        dice = random.Random(f"{SEED} storm {number}")
        while not over.is_set():
            try:
                who_asks(dice)
            except OSError:  # a reset, a time limit
                pass
            except Exception as bad:  # noqa: BLE001
                wrong.append(repr(bad))
            gone[number] += 1

    print(f"HOSTILE_SEED={SEED}")
    threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
    for one in threads:
        one.start()
    try:
        end = time.monotonic() + budget_s
        while time.monotonic() < end:
            world.gateway.send_signal(signal.SIGHUP)
            world.command("revoke", "user", f"own:somebody-{time.monotonic_ns()}", "--entity", "fod-finance", "-c", world.config)
            world.update("finance", lambda text: text + "\n# again\n")
            assert world.gateway.poll() is None, world.log_text()[-6000:]
    finally:
        over.set()
        for one in threads:
            one.join()
    print(f"{sum(gone.values())} have gone")
    assert not wrong, wrong[:5]
    world.origin.release.set()
    until(lambda: world.metric("belfry_requests_open") == 0, "a request is still under way", 30)
    assert Line(world, TOLD).ask("/anna/2", [("authorization", f"Bearer {good}")]).status == 200
