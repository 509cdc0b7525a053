# SPDX-License-Identifier: EUPL-1.2
"""Many at once: workers decide while rules, keys, configuration and the store change under them. Whatever the moment,
a request is judged by one edition of the rules, as a whole; and no news is lost. Also run under ThreadSanitizer."""

import collections
import fcntl
import json
import random
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from callers import H2, Ended, Reset, read_answer
from devices import Authority
from forger import Signer, b64, split
from revocation import StatusServer, make_answer, make_crl, request_of
from scenery import ENTITIES, SIGNERS, Line
from world import BELFRY, ROOT, until

pytestmark = pytest.mark.threaded

TURN = {"finance": "turn.finance.localhost", "health": "turn.health.localhost"}
TOKEN = "token.finance.localhost"
MAYBE = "maybe.finance.localhost"
USERS = ("anna", "bart")
PATHS = ("/left", "/right")
ISSUER = "https://own.example"
LOAD_S = 7
KEYS = 6

# What `belfry policy publish` does, without a process for each.
SCRIPT = """
if tonumber(ARGV[2]) <= tonumber(redis.call('HGET', 'belfry:serials', ARGV[1]) or '0') then return 0 end
local n = redis.call('INCR', 'belfry:count')
redis.call('XADD', 'belfry:events', 'MAXLEN', '1000', '*', 'epoch', redis.call('GET', 'belfry:epoch'), 'n', n,
           'kind', 'bundle', 'entity', ARGV[3], 'serial', ARGV[2])
redis.call('HSET', 'belfry:serials', ARGV[1], ARGV[2])
redis.call('SET', 'belfry:' .. ARGV[1], ARGV[4])
return n
"""


def allowed(user, path, serial):
    """Whose turn it is: by an even serial anna may go left and bart right, by an odd one the other way round."""
    return (USERS.index(user) == PATHS.index(path)) == (serial % 2 == 0)


class Publisher:
    """One entity's signer. Each publish swaps who may do what, and changes all keys of the provider but one."""

    def __init__(self, world, name):
        self.entity = ENTITIES[name][0]
        self.store = redis.Redis(unix_socket_path=str(world.redis_socket))
        self.keys = {world.keys[who][0]: load_pem_private_key(world.key_file(who).read_bytes(), None)
                     for who in SIGNERS[name]}
        self.signer = Signer("stays")
        self.others = [Signer(f"other-{i}") for i in range(KEYS)]
        self.lists = [""]
        text = (world.folder / "policy" / ENTITIES[name][1]).read_text()
        self.serial = int(re.search(r"(?m)^serial: (\d+)$", text)[1])
        text = re.sub(r"(?m)^serial: .*$", "serial: SERIAL", text)
        text = re.sub(r"(?m)^ +ca_file: (.*)$", lambda m: "    ca_pem: |\n" + "".join(
            f"      {line}\n" for line in (world.folder / "policy" / m[1]).read_text().splitlines()), text)
        self.text = text.replace("device_authorities:\n", f"""\
  - id: own
    issuer: {ISSUER}
    audiences: [turn]
    jwks: 'KEYS'
device_authorities:
""", 1) + f"""
  - id: turn
    host: {TURN[name]}
    device: none
    identity_providers: [own]
    upstreams: [http://127.0.0.1:{world.origin.port}]
    rules:
      - id: left
        permit: {{ paths: ["/left"] }}
        when: 'user.subject == "ONE"'
      - id: right
        permit: {{ paths: ["/right"] }}
        when: 'user.subject == "OTHER"'
"""

    def token(self, user):
        return self.signer.token(ISSUER, "turn", payload={"sub": user})

    def publish(self):
        self.serial += 1
        one, other = USERS if self.serial % 2 == 0 else reversed(USERS)
        keys = [self.others[self.serial % KEYS].jwk, self.signer.jwk]
        payload = (self.text.replace("SERIAL", str(self.serial)).replace("ONE", one).replace("OTHER", other)
                   .replace("KEYS", json.dumps({"keys": keys if self.serial % 3 else keys[::-1]}))
                   .replace("LIST", self.lists[self.serial % len(self.lists)])).encode()
        said = f"belfry-signed/v1 bundle {len(payload)}\n".encode() + payload
        signatures = "".join(f"signature: {key} {b64(private.sign(said))}\n" for key, private in self.keys.items())
        sealed = f"belfry-signed/v1\n{signatures}\n".encode() + payload
        while True:
            try:
                self.store.eval(SCRIPT, 0, f"bundle:{self.entity}", self.serial, self.entity, sealed)
                return
            except (redis.ConnectionError, redis.BusyLoadingError):  # it is being started again
                time.sleep(0.02)


class Devices:
    """An authority with a list that is fetched, one in the bundle that each publication changes, and a responder."""

    def __init__(self, world, publisher):
        self.world, self.ca, self.server, self.leaves = world, Authority.root("Turned"), StatusServer(), {}
        self.lost = self.new()
        (serial,) = self.leaves
        self.server.answers["/list"] = lambda _: make_crl(self.ca, [serial], number=int(time.time()), life_s=8)
        self.server.answers["/ask"] = lambda path: make_answer(self.ca, self.leaves[request_of(path).serial_number])
        lists = [x509.load_der_x509_crl(make_crl(self.ca, [serial, *range(i, 2000)])) for i in (1, 2, 3)]
        publisher.lists = [self.pem(one) for one in lists]
        publisher.text = publisher.text.replace("device_authorities:\n", f"""\
device_authorities:
  - id: turned
    trust: managed
    device_name: subject.CN
    ca_pem: |
{self.pem(self.ca.certificate)}
    revocation:
      crl: ["{self.server.url('/list')}"]
      crl_pem: |
LIST
      ocsp: {self.server.url('/ask')}
      refresh: 5s
""", 1)

    @staticmethod
    def pem(one):
        return "".join(f"        {line}\n" for line in one.public_bytes(Encoding.PEM).decode().splitlines())

    def new(self):
        name = f"turned-{len(self.leaves)}"
        certificate, _ = self.ca.device(self.world, name, name)
        leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
        self.leaves[leaf.serial_number] = leaf
        return name


Asked = collections.namedtuple("Asked", "name user path status reference")


class Load:
    """Threads that run until told otherwise; what they saw, and what went wrong."""

    def __init__(self):
        self.threads = []
        self.over = threading.Event()
        self.going_down = threading.Event()  # from here on connections may end
        self.connections = []  # of lists of Asked, in the order of asking
        self.wrong = []
        self.counts = collections.Counter()

    def start(self, function, *arguments):
        def run():
            try:
                while not self.over.is_set():
                    function(*arguments)
            except BaseException as error:  # noqa: BLE001 - it is told by `end`
                self.wrong.append(f"{function.__name__}: {error!r}")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        assert not self.wrong, self.wrong

    def asked(self, seen, name, user, path, answer):
        seen.append(Asked(name, user, path, answer.status, answer.get("belfry-reference")))
        if answer.status not in (200, 403):
            self.wrong.append(f"{user} {path}: {answer}")

    # Callers; each call is one connection's life

    def over_h1(self, world, name, tokens):
        seen = []
        self.connections.append(seen)
        try:
            with world.tls(TURN[name]) as tls:
                for _ in range(60):
                    user, path = random.choice(USERS), random.choice(PATHS)
                    tls.sendall(f"GET {path} HTTP/1.1\r\nhost: {TURN[name]}\r\n"
                                f"authorization: Bearer {tokens[name, user]}\r\n\r\n".encode())
                    answer, _ = read_answer(tls)
                    self.asked(seen, name, user, path, answer)
                    if answer.get("connection") == "close" or self.over.is_set():
                        break
        except (OSError, AssertionError):
            if not self.going_down.is_set():
                raise

    def over_h2(self, world, name, tokens):
        seen = []
        self.connections.append(seen)
        try:
            with H2(world.tls(TURN[name], alpn=["h2"])) as h2:
                for _ in range(15):
                    asked = [(random.choice(USERS), random.choice(PATHS)) for _ in range(5)]
                    streams = [h2.begin(TURN[name], path, headers=[("authorization", f"Bearer {tokens[name, user]}")])
                               for user, path in asked]
                    for (user, path), stream in zip(asked, streams):
                        self.asked(seen, name, user, path, h2.end(stream))
                    if self.over.is_set():
                        break
        except (OSError, Ended, Reset):
            if not self.going_down.is_set():
                raise

    def over_real_tokens(self, world, tokens):
        """With tokens of the real provider, whose keys are fetched and rotated."""
        answer = world.ask(TOKEN, "/", token=random.choice(tokens), http=random.choice(["1.1", "2"]))
        self.counts["curl"] += 1
        if answer.status != 200:
            self.wrong.append(f"a real token: {answer}")

    def over_devices(self, world, devices):
        """One that nobody has met before, whose responder is asked; and one that is on all lists."""
        for file, expected in ((devices.new(), (200, None)), (devices.lost, (403, "device_revoked"))):
            answer = world.ask(MAYBE, "/managed/1", cert=file)
            self.counts["curl"] += 1
            if (answer.status, answer.problem) != expected:
                self.wrong.append(f"{file}: {answer}")

    def over_forged(self, world, forged):
        answer = world.ask(TOKEN, "/", token=forged)
        self.counts["curl"] += 1
        if answer.status not in (401, 503):  # while its keys are fetched, and the machine is slow, it may well be good
            self.wrong.append(f"a forged token: {answer}")

    # What changes meanwhile

    def publishing(self, publisher):
        publisher.publish()
        self.counts["publishes"] += 1
        time.sleep(0.003)

    def reading(self, world):
        assert "belfry_requests_total" in world.admin("/metrics")[1]
        world.admin("/readyz")
        time.sleep(0.01)

    def reloading(self, world):
        text = world.config.read_text()
        levels = ("level: info", "level: notice")
        aside = world.config.with_suffix(".new")  # it is never seen half written
        aside.write_text(text.replace(*levels) if levels[0] in text else text.replace(*levels[::-1]))
        aside.replace(world.config)
        for _ in range(random.choice((1, 1, 5))):
            world.gateway.send_signal(signal.SIGHUP)
        time.sleep(0.15)


def h2load(world, name, token, *more):
    """h2load in the background; `h2load_seen` says how many answers it had."""
    return subprocess.Popen(
        ["h2load", "-c", "4", "-D", str(LOAD_S - 2), "--rps", "60", "--connect-to", f"127.0.0.1:{world.port}", *more,
         "-H", f"authorization: Bearer {token}", f"https://{TURN[name]}:{world.port}/left"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def h2load_seen(process):
    text, _ = process.communicate(timeout=60)
    done, errored, timed_out = re.search(r"(\d+) done, .* (\d+) errored, (\d+) timeout", text).groups()
    assert (errored, timed_out) == ("0", "0") and re.search(r" 0 3xx, \d+ 4xx, 0 5xx", text), text
    return int(done)


def reasons(world):
    lines = re.findall(r'(?m)^belfry_exchanges_total\{reason="([^"]+)"\} (\d+)$', world.admin("/metrics")[1])
    return {name: int(value) for name, value in lines if value != "0"}


def check_whole(load, events):
    """Each request was judged by one edition as a whole, and what it got is what the audit holds. One that new rules
    met before it had an answer was judged by them again, as a whole: its end says so."""
    by_reference = {}
    ends = {e["event.id"]: e for e in events if e["event.action"] == "access-end"}
    for event in events:
        if event["event.action"] != "access-end" and "event.id" in event:
            assert event["event.id"] not in by_reference, event
            by_reference[event["event.id"]] = event
    turns = {}  # (entity, snapshot) → whether anna may go left
    for seen in load.connections:
        last = 0
        for asked in seen:
            event = by_reference[asked.reference]
            if asked.status == 403 and event["belfry.reason_code"] == "permitted":
                assert ends[asked.reference]["belfry.reason_code"] == "denied", (asked, ends[asked.reference])
                continue
            assert event["belfry.reason_code"] == ("permitted" if asked.status == 200 else "denied"), (asked, event)
            snapshot = event["belfry.snapshot"]
            assert snapshot >= last, "a later request by older rules on one connection"
            last = snapshot
            is_even = (asked.status == 200) == allowed(asked.user, asked.path, 0)
            assert turns.setdefault((asked.name, snapshot), is_even) == is_even, (asked, event)
    return turns


def swapping_world(new_world, prepare=lambda world, publishers: None, **settings):
    world = new_world(hosts=TURN.values(), **settings)
    publishers = {name: Publisher(world, name) for name in ENTITIES}
    prepare(world, publishers)
    before = world.metric("belfry_snapshot")
    for publisher in publishers.values():
        publisher.publish()
    tokens = {(name, user): publishers[name].token(user) for name in ENTITIES for user in USERS}
    until(lambda: world.metric("belfry_snapshot") > before, "the first publish is not live")
    for name in ENTITIES:
        wait_live(world, publishers[name], tokens)
    return world, publishers, tokens


def is_live(world, publisher, tokens, connections=4):
    """By that publisher's last word, on as many new connections as make every worker likely."""
    name = next(n for n in ENTITIES if ENTITIES[n][0] == publisher.entity)
    for _ in range(connections):
        try:
            with world.tls(TURN[name]) as tls:
                for user in USERS:
                    tls.sendall(f"GET /left HTTP/1.1\r\nhost: {TURN[name]}\r\n"
                                f"authorization: Bearer {tokens[name, user]}\r\n\r\n".encode())
                    if read_answer(tls)[0].status != (200 if allowed(user, "/left", publisher.serial) else 403):
                        return False
        except OSError:  # no such host yet
            return False
    return True


def wait_live(world, publisher, tokens, connections=4):
    until(lambda: is_live(world, publisher, tokens, connections), "the last publish is not live")


def rotate(world, name):
    """The provider signs by new keys from now on; a token by them."""
    line = Line(int(world.providers[name]["issuer"].rsplit(":", 1)[1]), "idp.localhost", world.trust)
    assert line.ask("POST", "/demo/rotate")[0] == 200
    line.close()
    return world.token(name, "anna")


def test_each_request_is_judged_by_one_edition_whatever_changes_meanwhile(new_world):
    made = []
    world, publishers, tokens = swapping_world(
        new_world, lambda world, publishers: made.append(Devices(world, publishers["finance"])), workers=3)
    (devices,) = made
    real = [world.token("finance", "anna")]
    header, payload, _ = split(real[0])
    load = Load()
    load.start(load.over_devices, world, devices)
    load.start(load.over_forged, world, Signer().sign({**header, "kid": "unknown"}, payload))
    for name in ENTITIES:
        for _ in range(2):
            load.start(load.over_h1, world, name, tokens)
            load.start(load.over_h2, world, name, tokens)
        load.start(load.publishing, publishers[name])
    load.start(load.over_real_tokens, world, real)
    load.start(load.reading, world)
    load.start(load.reloading, world)
    flood = [h2load(world, "finance", tokens["finance", "anna"], "-m", "4"),
             h2load(world, "health", tokens["health", "bart"], "--h1")]
    end = time.monotonic() + LOAD_S
    time.sleep(LOAD_S * 0.3)
    real.append(rotate(world, "finance"))
    time.sleep(LOAD_S * 0.2)
    world.stop("redis")
    world.start_redis()
    world.wait_redis()
    time.sleep(max(0.0, end - time.monotonic()))
    load.end()

    for name in ENTITIES:  # nothing that was published last is lost
        wait_live(world, publishers[name], tokens, connections=16)
    until(lambda: world.metric("belfry_requests_open") == 0, "requests are open")
    flooded = sum(map(h2load_seen, flood))
    until(lambda: world.metric("belfry_requests_open") == 0, "requests are open")
    ended = reasons(world)
    ended.pop("handshake_failed", None)  # before the application was there: no request
    assert set(ended) <= {"permitted", "denied", "client_gone", "device_revoked", "token_key_unknown",
                          "keys_unavailable"}, ended
    assert sum(ended.values()) == world.metric("belfry_requests_total")
    asked = sum(map(len, load.connections)) + flooded + load.counts["curl"]
    assert sum(ended.values()) >= asked > 500, (ended, asked)
    assert world.metric("belfry_crl_fetches_total") > 5 and world.metric("belfry_ocsp_fetches_total") > 0
    assert world.metric("belfry_crl_failures_total") + world.metric("belfry_ocsp_failures_total") == 0, world.log_text()[-3000:]
    devices.server.close()
    assert world.metric("belfry_reloads_total") > 5 and world.metric("belfry_reloads_refused_total") == 0
    world.decision([seen for seen in load.connections if seen][-1][-1].reference)  # the writer has come so far
    turns = check_whole(load, world.events())
    assert len(turns) > 20 and set(turns.values()) == {True, False}, (len(turns), load.counts)


def test_a_gateway_that_goes_down_under_load_answers_what_it_has_taken_in(new_world):
    world, publishers, tokens = swapping_world(new_world, workers=2)
    load = Load()
    for name in ENTITIES:
        load.start(load.over_h1, world, name, tokens)
        load.start(load.over_h2, world, name, tokens)
        load.start(load.publishing, publishers[name])
    load.start(load.reloading, world)
    with world.tls("open.finance.localhost") as slow:
        slow.sendall(b"GET /wait HTTP/1.1\r\nhost: open.finance.localhost\r\n\r\n")
        until(lambda: world.origin.seen("/wait"), "the slow request has not arrived")
        until(lambda: sum(map(len, load.connections)) > 100, "no load")
        load.going_down.set()
        world.gateway.send_signal(signal.SIGTERM)
        status, text = until(lambda: (made := world.admin("/readyz"))[0] == 503 and made,
                             "whoever asks is not told of the drain")
        assert "failed drain" in text, text
        world.origin.release.set()
        answer, _ = read_answer(slow)
        assert answer.status == 200 and answer.get("connection") == "close"
    until(lambda: world.gateway.poll() is not None, "it does not end", limit_s=20)
    load.over.set()
    for thread in load.threads:
        thread.join(20)
    others = [w for w in load.wrong if not re.match("reading|reloading|over_.*(Refused|Reset)", w)]
    assert not others, others
    assert world.gateway.returncode == 0, world.log_text()[-3000:]
    check_whole(load, world.events())


def test_many_reloads_at_once_end_with_the_configuration_that_was_written_last(new_world):
    world = new_world(workers=2)
    good = world.config.read_text()
    for i in range(30):
        world.config.write_text(good + "nonsense: 1\n" if i % 3 == 1 else good.replace("level: info", "level: error"))
        world.gateway.send_signal(signal.SIGHUP)
    until(lambda: world.metric("belfry_reloads_total") > 0, "no reload")
    before = len(world.log_text())
    world.config.write_text(good)
    world.gateway.send_signal(signal.SIGHUP)
    until(lambda: "configuration taken over" in world.log_text()[before:], "the last configuration is not in force")
    world.update("finance", lambda text: text)  # and the log is at info again: it says so
    until(lambda: re.search("snapshot [0-9]+ is live", world.log_text()[before:]), "the log level is not the last one's")


def test_news_that_comes_with_a_reload_that_is_refused_is_not_lost(new_world):
    world, publishers, tokens = swapping_world(new_world, workers=2)
    ring = next((world.folder / "keys/gateway/audit").glob("*/*.key"))
    ring.chmod(0o644)  # others could read it: the ring is refused, and with it the reload
    for _ in range(8):
        refused = world.metric("belfry_reloads_refused_total")
        publishers["finance"].publish()
        world.gateway.send_signal(signal.SIGHUP)
        wait_live(world, publishers["finance"], tokens)
        until(lambda: world.metric("belfry_reloads_refused_total") > refused, "the ring was taken")
    ring.chmod(0o600)
    taken = world.metric("belfry_reloads_total")
    world.gateway.send_signal(signal.SIGHUP)
    until(lambda: world.metric("belfry_reloads_total") > taken, "a good configuration is not taken over")


def test_what_cannot_be_remembered_is_not_activated_until_it_can(new_world):
    world, publishers, tokens = swapping_world(new_world, workers=2)
    state = world.folder / "state"
    hidden = world.folder / "state-hidden"
    state.rename(hidden)  # root writes anywhere; a folder that is gone stops it too
    old = publishers["finance"].serial
    publishers["finance"].publish()
    status, text = until(lambda: "degraded activation" in (made := world.admin("/readyz"))[1] and made,
                         "readiness does not tell")
    assert status == 200, text  # it decides by the rules that it had
    assert "can't be remembered" in world.log_text()
    publishers["finance"].serial = old
    assert is_live(world, publishers["finance"], tokens)
    publishers["finance"].serial = old + 1
    hidden.rename(state)
    wait_live(world, publishers["finance"], tokens)
    assert "degraded activation" not in world.admin("/readyz")[1]


def test_a_reload_takes_new_certificates_though_no_rule_has_changed(new_world):
    world = new_world(workers=2)
    host = "tax.finance.localhost"
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE

    def served():
        with world.tls(host, context=anybody) as tls:
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))

    subprocess.run([ROOT / "certs/make-test-pki", world.folder / "pki-2"], check=True, capture_output=True)
    for name in ("fullchain.pem", "key.pem"):
        shutil.copy(world.folder / "pki-2/certificates" / host / name, world.pki / "certificates" / host / name)
    new = (world.pki / "certificates" / host / "fullchain.pem").read_text()
    assert not new.startswith(served())
    world.gateway.send_signal(signal.SIGHUP)
    until(lambda: new.startswith(served()) and new.startswith(served()), "the old certificate is still served")


def test_a_second_gateway_on_the_same_state_dir_is_refused(world):
    done = subprocess.run([BELFRY, "run", "-c", world.config], capture_output=True, text=True, timeout=20)
    assert done.returncode == 3 and "another gateway uses state_dir" in done.stderr, done
    pid = (world.folder / "state/belfry.pid").read_text()
    assert int(pid) == world.gateway.pid
    with open(world.folder / "state/belfry.pid", "rb+") as file:  # the first one still holds it
        with pytest.raises(OSError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
