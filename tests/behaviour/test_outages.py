# SPDX-License-Identifier: EUPL-1.2
"""Something that the gateway asks is away, slow or lying, or the clock is set, while people work. Nobody who is inside
is put out by that, nobody waits a second for it, nobody gets in by it; and when it is over it is over by itself. The
table "When something is away" of docs/operations.md names these tests, row by row."""

import contextlib
import email.utils
import html
import http.server
import os
import re
import signal
import ssl
import threading
import time
import urllib.parse

import pytest

from callers import read_answer
from conftest import check_end
from devices import Authority
from forger import Prover, Signer, split, with_own_provider
from revocation import StatusServer, make_answer, make_crl, request_of
from test_inventory import device as inventory
from test_revocation import watched
from sign_in import REDIRECTS
from test_sign_in import LOGIN, Person
from wire import HTTP_WRONG, REDIS_WRONG, WAYS, Wire, tls_between
from world import ROOT, UNLIMITED, World, free_port, until

# An exchange waits 0.9 s at most for all that it asks for, so an answer is there within a second. Here it is measured
# at the client, with its handshake, on a machine that may be busy with other tests: hence half a second more.
LIMIT_S = 1.5
# Of each kind of caller, while the part is away: enough for any that would be answered late.
ROUNDS = 6
TAX, TOKEN = "tax.finance.localhost", "token.finance.localhost"
CLAIMS, LISTED, MAYBE = "claims.health.localhost", "outage-listed.finance.localhost", "maybe.finance.localhost"
STOPPED, PAUSED = "stopped", "paused"  # the process itself, by SIGTERM and by SIGSTOP
INSIDE = (200, None)


def some(*short):
    """All ways; those that are not named only where there is time."""
    return [way if way in short else pytest.param(way, marks=pytest.mark.long) for way in (PAUSED, *WAYS)]


class Wired(World):
    """A world with a wire before the store, and one before the provider of finance."""

    def start_provider(self, name, port=0):
        home = self.pki / "certificates/idp.localhost"
        behind = "127.0.0.2" if name == "finance" else "127.0.0.1"
        self.spawn(f"idp-{name}", ["node", ROOT / "demo/idp/server.js", "--name", name, "--port", port or free_port(),
                                   "--listen", behind, "--cert", home / "fullchain.pem", "--key", home / "key.pem",
                                   "--ca", self.trust])

    def wait_provider(self, name):
        super().wait_provider(name)
        if name == "finance" and not hasattr(self, "provider_wire"):
            port = int(self.providers[name]["issuer"].rsplit(":", 1)[1])
            server, client = tls_between(self, "idp.localhost")
            self.provider_wire = Wire(("127.0.0.1", port), ("127.0.0.2", port), HTTP_WRONG, server, client,
                                      "idp.localhost")

    def write_config(self, port, admin_port):
        super().write_config(port, admin_port)
        wire = str(self.folder / "wire.sock")
        self.store_wire = Wire(wire, str(self.redis_socket), REDIS_WRONG)
        self.config.write_text(self.config.read_text().replace(str(self.redis_socket), wire))

    @contextlib.contextmanager
    def away(self, way, process, wire):
        if way == PAUSED:
            pid = self.processes[process].pid
            os.kill(pid, signal.SIGSTOP)
            try:
                yield
            finally:
                os.kill(pid, signal.SIGCONT)
        elif way == STOPPED:
            self.stop(process)
            yield
            self.start_redis()
            self.wait_redis()
        else:
            with wire.broken(way):
                yield


class Caller:
    """Asks again and again on a connection of its own, or each time on a new one. `token`: one, or a function."""

    def __init__(self, world, host, cert=None, token=None, path="/declarations/1", keeps=True):
        self.world, self.host, self.cert, self.token, self.path = world, host, cert, token, path
        self.keeps, self.tls, self.fields = keeps, None, ""

    def ask(self):
        token = self.token() if callable(self.token) else self.token
        field = f"authorization: Bearer {token}\r\n" if token else ""
        head = f"GET {self.path} HTTP/1.1\r\nhost: {self.host}\r\naccept: application/json\r\n{field}{self.fields}\r\n"
        began = time.monotonic()
        if not self.tls:
            self.tls = self.world.tls(self.host, cert=self.cert)
        self.tls.sendall(head.encode())
        answer, _ = read_answer(self.tls)
        took = time.monotonic() - began
        if not self.keeps or answer.get("connection") == "close":
            self.close()
        return (answer.status, answer.problem), took

    def close(self):
        if self.tls:
            self.tls.close()
        self.tls = None


class Traffic:
    """All callers at once, each in its thread. What it was answered lies in `seen`: name → [(outcome, seconds)]."""

    def __init__(self, **callers):
        self.callers = callers
        self.seen = {name: [] for name in callers}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._go_on, args=(name,), daemon=True) for name in callers]

    def _go_on(self, name):
        while not self.over.is_set():
            try:
                self.seen[name].append(self.callers[name].ask())
            except Exception as wrong:  # a test thread's end is no test's: it is looked at with the rest
                self.seen[name].append(((0, repr(wrong)), 0))
                self.callers[name].close()
            self.over.wait(0.05)
        self.callers[name].close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.rounds(1)
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(20)

    def forget(self):
        for each in self.seen.values():
            each.clear()

    def rounds(self, count=ROUNDS, limit_s=40):
        until(lambda: all(len(each) >= count for each in self.seen.values()),
              f"the callers are kept waiting: { {name: len(each) for name, each in self.seen.items()} }", limit_s)

    def check(self, **expected):
        """`expected`: name → the outcomes that it may have had; those that are not named: 200."""
        for name, each in self.seen.items():
            allowed = expected.get(name, {INSIDE})
            assert {outcome for outcome, _ in each} <= allowed, (name, [one for one in each if one[0] not in allowed])
            slowest = max(took for _, took in each)
            assert slowest < LIMIT_S, (name, slowest)

    def until_is(self, name, outcome, what, limit_s):
        """How long it took."""
        began = time.monotonic()
        at = len(self.seen[name])
        until(lambda: outcome in [o for o, _ in self.seen[name][at:]], what, limit_s)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def gate():
    with Wired(workers=2, hosts=[LISTED], extra_config=UNLIMITED) as made:
        made.begin()
        made.update("finance", lambda text: text + f"""
  - id: outage-listed
    host: {LISTED}
    device: required
    inventory: required
    upstreams: [http://127.0.0.1:{made.origin.port}]
    rules:
      - id: outage-listed-all
        permit: {{}}
""")
        yield made
        check_end(made)
        made.provider_wire.close()
        made.store_wire.close()


def supply(world, count=60, **parameters):
    """A function that gives another token each time, also when the provider is away."""
    tokens = [world.token("finance", "anna", **parameters) for _ in range(count)]
    numbers = iter(range(10**9))
    return lambda: tokens[next(numbers) % count]


def forged(token):
    """That token by nobody's key: under the provider's name for its key, and under a name of its own."""
    header, payload, _ = split(token)
    mine = Signer()
    return mine.sign(header, payload), mine.sign({**header, "kid": "of-nobody"}, payload)


# The store


@pytest.mark.parametrize("way", [STOPPED, *some(PAUSED, "garbage")])
def test_the_store_is_away(gate, way):
    inventory(gate, "set", "finance-laptops:laptop-0001", "model=X1")
    stranger = f"stranger-{way}"
    Authority.of(gate, "finance-devices").device(gate, stranger, stranger)
    token = gate.token("finance", "anna")
    until(lambda: gate.ask(LISTED, cert="laptop-0001").status == 200, "it is not in the inventory")
    bad, _ = forged(token)
    with Traffic(known=Caller(gate, TOKEN, token=token),
                 new=Caller(gate, TAX, "laptop-0001", supply(gate), keeps=False),
                 listed=Caller(gate, LISTED, "laptop-0001", keeps=False),
                 unlisted=Caller(gate, LISTED, "laptop-0002"),
                 forger=Caller(gate, TOKEN, token=bad)) as traffic:
        gone = {"unlisted": {(403, "device_unlisted"), (503, "inventory_unavailable")},
                "forger": {(401, "invalid_token")}}
        traffic.check(**gone)
        with gate.away(way, "redis", gate.store_wire):
            until(lambda: gate.metric("belfry_store_connected") == 0, "it does not notice", 25)
            traffic.forget()
            one = Caller(gate, LISTED, stranger, keeps=False)
            for _ in range(3):
                outcome, took = one.ask()
                assert outcome == (503, "inventory_unavailable") and took < LIMIT_S
            traffic.rounds()
            assert gate.admin("/readyz")[0] == 200
        took = time.monotonic()
        until(lambda: one.ask()[0] == (403, "device_unlisted"), "it does not recover", 15)
        until(lambda: gate.metric("belfry_store_connected") == 1, "it does not connect again", 15)
        assert time.monotonic() - took < 10
        traffic.check(**gone)
    gate.update("finance", lambda text: text)  # and it follows again


# A provider, and its keys


@pytest.mark.parametrize("way", some(PAUSED, "wrong"))
def test_a_provider_is_away(gate, way):
    token = gate.token("finance", "anna")
    known = Caller(gate, TOKEN, token=token)
    assert known.ask()[0] == INSIDE
    gate.tell_provider("finance", "rotate")
    under_new_key = gate.token("finance", "anna")
    renamed = Caller(gate, TOKEN, token=under_new_key)
    bad, unnamed = forged(token)
    with Traffic(known=known, forger=Caller(gate, TOKEN, token=bad),
                 new=Caller(gate, TAX, "laptop-0001", token, keeps=False),
                 other=Caller(gate, CLAIMS, "tablet-0001", gate.token("health", "dirk"))) as traffic:
        bad_answers = {"forger": {(401, "invalid_token")}}
        with gate.away(way, "idp-finance", gate.provider_wire):
            traffic.forget()
            with Traffic(renamed=renamed, stranger=Caller(gate, TOKEN, token=unnamed)) as strangers:
                strangers.rounds()
                strangers.check(renamed={(503, "keys_unavailable")}, stranger={(503, "keys_unavailable")})
            traffic.rounds()
            assert gate.admin("/readyz")[0] == 200
        began = time.monotonic()
        until(lambda: renamed.ask()[0] == INSIDE, "it does not recover", 15)
        assert time.monotonic() - began < 12
        traffic.check(**bad_answers)
        assert Caller(gate, TOKEN, token=unnamed, keeps=False).ask()[0] == (401, "invalid_token")


# Revocation


def answers(w):
    """Of the responder: good, but for `lost`."""
    def answer(path):
        serial = request_of(path).serial_number
        for file in (path.stem for path in (w.gate.pki / "clients").glob(f"{w.id}-*.pem")):
            if w.leaf(file).serial_number == serial:
                return make_answer(w.ca, w.leaf(file), "revoked" if file.endswith("-lost") else "good")
        return 500

    w.server.answers[w.path] = answer


@pytest.fixture(scope="module")
def status():
    """What gives out lists and answers, behind a wire."""
    server = StatusServer()
    wire = Wire(("127.0.0.1", free_port()), ("127.0.0.1", server.port), HTTP_WRONG)
    server.port = wire.here[1]  # the URLs lead through the wire
    yield server, wire
    wire.close()
    server.close()


@pytest.mark.parametrize("way", some("hung", "garbage")[1:])
def test_an_ocsp_responder_is_away(gate, status, way):
    server, wire = status
    with watched(gate, server, "ocsp: OCSP") as w:
        answers(w)
        files = {name: w.device(name) for name in ("known", "lost", "late")}
        assert w.ask(files["known"]) == INSIDE and w.ask(files["lost"]) == (403, "device_revoked")
        with Traffic(known=Caller(gate, MAYBE, files["known"], path="/managed/1"),
                     new=Caller(gate, MAYBE, files["known"], path="/managed/1", keeps=False),
                     lost=Caller(gate, MAYBE, files["lost"], path="/managed/1", keeps=False)) as traffic:
            with wire.broken(way):
                traffic.forget()
                late = Caller(gate, MAYBE, files["late"], path="/managed/1", keeps=False)
                for _ in range(3):
                    outcome, took = late.ask()
                    assert outcome == (503, "revocation_unknown") and took < LIMIT_S
                traffic.rounds()
            began = time.monotonic()
            until(lambda: late.ask()[0] == INSIDE, "it does not recover", 15)
            assert time.monotonic() - began < 12
            traffic.check(lost={(403, "device_revoked")})


@pytest.mark.parametrize("way", some("gone", "slow")[1:])
def test_a_crl_can_not_be_fetched(gate, status, way):
    server, wire = status

    def prepare(w):
        w.give_crl(w.device("lost"), life_s=6)

    with watched(gate, server, "crl: [CRL]", prepare) as w:
        known, lost = w.device("known"), f"{w.id}-lost"
        until(lambda: w.ask(known) == INSIDE, "no list")
        with wire.broken(way), Traffic(known=Caller(gate, MAYBE, known, path="/managed/1"),
                                       lost=Caller(gate, MAYBE, lost, path="/managed/1", keeps=False)) as traffic:
            traffic.until_is("known", (503, "revocation_unknown"), "an old list is a list for ever", 15)
            first = [outcome for outcome, _ in traffic.seen["known"]].index((503, "revocation_unknown"))
            traffic.check(known={INSIDE, (503, "revocation_unknown")}, lost={(403, "device_revoked")})
            assert INSIDE not in [outcome for outcome, _ in traffic.seen["known"][first:]]
        w.give_crl(lost, number=2)
        until(lambda: w.ask(known) == INSIDE, "it does not recover", 30)
        assert w.ask(lost) == (403, "device_revoked")


# The clock


FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


class Clocked(World):
    """Processes of these names have a clock that differs from everybody else's by as many seconds as are asked for,
    from then on."""

    clocked = ("gateway",)

    def spawn(self, name, command, **more):
        if name in self.clocked:
            if not (self.folder / "clock").exists():
                self.set_clock(0)
            settings = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": self.folder / "clock",
                        "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
                        "FAKETIME_DONT_RESET": "1"}
            command = ["env", *(f"{key}={value}" for key, value in settings.items()), *command]
        super().spawn(name, command, **more)

    def set_clock(self, seconds):
        new = self.folder / "clock.new"
        new.write_text(f"{seconds:+d}\n")
        new.rename(self.folder / "clock")

    def clock(self):
        """What it says of the time, by the field of an answer."""
        return email.utils.parsedate_to_datetime(self.ask(MAYBE, "/open/1").get("date")).timestamp()


@pytest.fixture
def clocked():
    with Clocked(workers=2, extra_config=UNLIMITED) as made:
        yield made.begin()
        check_end(made)


@pytest.mark.parametrize("seconds", [60, -60], ids=["forward", "back"])
def test_the_clock_is_set_by_a_minute(clocked, seconds):
    world = clocked
    assert abs(world.clock() - time.time()) < 5
    known = world.token("finance", "anna", ttl=600)
    ended = world.token("finance", "anna", ttl=600, age=640)  # 40 s ago, of which 30 s are forgiven
    ending = world.token("finance", "anna", ttl=600, age=580)  # in 20 s, to which 30 s are added

    def ask(token):
        return world.ask(TOKEN, token=token).status

    assert (ask(known), ask(ending), ask(ended)) == (200, 200, 401)
    with Traffic(known=Caller(world, TOKEN, token=known),
                 new=Caller(world, TAX, "laptop-0001", lambda: world.token("finance", "anna"), keeps=False),
                 ended=Caller(world, TOKEN, token=ended),
                 lent=Caller(world, TOKEN, token=lambda: world.token("finance", "anna", ttl=600, age=640)),
                 other=Caller(world, CLAIMS, "tablet-0001", world.token("health", "dirk"))) as traffic, \
            world.tls(TOKEN) as waiting:
        waiting.sendall(f"GET /wait/1 HTTP/1.1\r\nhost: {TOKEN}\r\nauthorization: Bearer {known}\r\n\r\n".encode())
        until(lambda: world.origin.seen("/wait/1"), "it is not under way")
        world.set_clock(seconds)
        traffic.forget()
        traffic.rounds(3 * ROUNDS)
        # Forward it follows. Back it waits until the clock has come there again: nothing that has ended begins anew.
        assert abs(world.clock() - time.time() - max(seconds, 0)) < 10
        assert ask(ending) == (401 if seconds > 0 else 200)
        status, text = world.admin("/readyz")
        assert status == 200 and "degraded" not in text, text
        world.set_clock(0)
        traffic.rounds(5 * ROUNDS)
        traffic.check(ended={(401, "invalid_token")}, lent={(401, "invalid_token")})
        assert ask(ending) == (401 if seconds > 0 else 200)
        world.origin.release.set()
        assert read_answer(waiting)[0].status == 200


DEVICES, PROOF, SHORT = (f"clock-{name}.finance.localhost" for name in ("devices", "proof", "short"))
OWN = "https://own.finance.example"


def with_clocks(signer, origin):
    """The bundle with an application for devices alone, one for tokens with a proof, and one with short sessions."""
    application = """
  - id: {id}
    host: {host}
    upstreams: [http://127.0.0.1:{port}]
    {more}
    rules:
      - id: {id}-all
        permit: {{}}
        when: '{when}'
"""

    def change(text):
        text = with_own_provider(text, signer, OWN, "leeway: 0s")
        for id, host, more, when in (
                ("clock-devices", DEVICES, "device: required", 'device.id != ""'),
                ("clock-proof", PROOF, "device: none\n    dpop: required\n    identity_providers: [own]", 'user.subject != ""'),
                ("clock-short", SHORT, "device: required\n    sessions: { absolute: 5m }\n    identity_providers: [fas]",
                 'user.id != ""')):
            text += application.format(id=id, host=host, more=more, when=when, port=origin.port)
        return text

    return change


def test_the_clock_is_set_and_what_is_remembered_and_refreshed_goes_by_it(status):
    """Lists, answers, sessions and proofs: forward by a minute, back by a minute, and past the end of a session."""
    server, _ = status
    signer, prover = Signer("own-1"), Prover()
    with Clocked(policies=ROOT / "tests/behaviour/policy/sign_in", hosts=[DEVICES, PROOF, SHORT], workers=1,
                 extra_config=UNLIMITED) as world, contextlib.ExitStack() as authorities:
        world.begin()
        world.update("finance", with_clocks(signer, world.origin))

        def authority(settings, prepare=None):
            return authorities.enter_context(watched(world, server, settings, prepare))

        def seen(w, name):
            return w.ask(f"{w.id}-{name}", DEVICES)

        long = authority("crl: [CRL], refresh: 5s", lambda w: (w.device("kept"), w.give_crl(w.device("lost"))))
        asked = authority("ocsp: OCSP")
        answers(asked)
        for name in ("kept", "lost", "late"):
            asked.device(name)
        anna = Person(world, "anna")
        assert anna.open(TAX).status == 200 and anna.open(SHORT).status == 200
        at_tax = Signed(anna)
        at_short = Caller(world, SHORT, anna.cert)
        at_short.fields = f"cookie: __Host-belfry={anna.cookie(SHORT)}\r\n"
        token = signer.token(OWN, "own-api", payload={"cnf": {"jkt": prover.thumbprint}, "exp": int(time.time()) + 3600})

        def proof():
            return prover.proof("GET", f"https://{PROOF}:{world.port}/", token)

        def prove(one):
            answer = world.ask(PROOF, headers=[f"authorization: DPoP {token}", f"dpop: {one}"])
            return answer.status, answer.problem

        def check():
            assert (seen(long, "kept"), seen(long, "lost")) == (INSIDE, (403, "device_revoked"))
            assert (seen(asked, "kept"), seen(asked, "lost")) == (INSIDE, (403, "device_revoked"))
            assert at_tax.ask()[0] == INSIDE
            used.append(proof())
            assert prove(used[-1]) == INSIDE
            assert [prove(one) for one in used] == [(401, "invalid_dpop_proof")] * len(used)

        used = []
        check()
        # Their lists end within the minute.
        brief, ended = (authority("crl: [CRL]", lambda w: (w.device("kept"), w.give_crl(life_s=50))) for _ in range(2))
        assert (seen(brief, "kept"), seen(ended, "kept"), at_short.ask()[0]) == (INSIDE, INSIDE, INSIDE)

        world.set_clock(60)
        until(lambda: seen(ended, "kept") == (503, "revocation_unknown"), "a list has no end")
        check()
        brief.give_crl(number=2)
        until(lambda: seen(brief, "kept") == INSIDE, "the next list is not fetched", 15)
        long.give_crl(long.device("next"), f"{long.id}-lost", number=2)
        until(lambda: seen(long, "next") == (403, "device_revoked"), "lists are no longer refreshed")

        world.set_clock(0)
        check()
        assert seen(ended, "kept") == (503, "revocation_unknown")
        assert seen(asked, "late") == INSIDE
        long.give_crl(f"{long.id}-lost", number=3, begins_s=0)
        until(lambda: seen(long, "next") == INSIDE, "lists are no longer refreshed")
        check()

        world.set_clock(310)
        until(lambda: at_short.ask()[0] == (401, "identity_required"), "a session has no end")
        world.set_clock(250)
        assert at_short.ask()[0] == (401, "identity_required")
        assert at_tax.ask()[0] == INSIDE
        authorities.close()
        check_end(world)


# People in a browser


@pytest.fixture(scope="module")
def people():
    with Wired(policies=ROOT / "tests/behaviour/policy/sign_in", workers=2, extra_config=UNLIMITED) as made:
        made.begin()
        yield made
        check_end(made)
        made.provider_wire.close()
        made.store_wire.close()


class Signed(Caller):
    """Somebody who is signed in, with their cookie and nothing else."""

    def __init__(self, person, cookie=None, **more):
        super().__init__(person.world, TAX, person.cert, **more)
        self.fields = f"cookie: __Host-belfry={cookie or person.cookie()}\r\n"


@pytest.mark.parametrize("way", [STOPPED, *some(PAUSED, "slow")])
def test_the_store_is_away_and_people_are_signed_in(people, way):
    anna = Person(people, "anna")
    assert anna.open(path="/declarations/1").status == 200
    signed = Signed(anna, keeps=False)
    for _ in range(4 * people.workers):  # each worker has met her
        assert signed.ask()[0] == INSIDE
    with Traffic(anna=signed, stolen=Signed(anna, keeps=False), invented=Signed(anna, "A" * 43, keeps=False)) as traffic:
        traffic.callers["stolen"].cert = "laptop-0002"
        with people.away(way, "redis", people.store_wire):
            until(lambda: people.metric("belfry_store_connected") == 0, "it does not notice", 25)
            traffic.forget()
            traffic.rounds()
            began = time.monotonic()
            page = Person(people, "bart").go(f"https://{TAX}:{people.port}/declarations/1")
            assert page.status == 503 and page.get("retry-after") and time.monotonic() - began < LIMIT_S
            traffic.check(stolen={(403, "session_device_mismatch")}, invented={(503, "store_unavailable")})
        traffic.until_is("invented", (401, "identity_required"), "it does not recover", 15)
        assert {outcome for outcome, _ in traffic.seen["anna"]} == {INSIDE}
    until(lambda: Person(people, "anna").open().status == 200, "nobody can sign in", 15)
    assert signed.ask()[0] == INSIDE


def in_time(ask, page, after=0):
    """What it asks, which is answered within a second; `after` so many that it waits by itself."""
    began = time.monotonic()
    answer = ask(page)
    assert time.monotonic() - began < after + LIMIT_S, answer.url
    return answer


def comes_back(person, path="/declarations/1"):
    """They have proven who they are at their provider, which sends them back with its code."""
    page = person.sign_in(person.at(TAX, path), person.name, stop=lambda url: "/.belfry/callback?code" in url)
    assert page.status in REDIRECTS, page
    return page


def test_who_comes_back_while_the_provider_hangs_reads_one_moment_and_ends_where_they_began(people):
    bart, thief = Person(people, "anna", language="fr"), Person(people, "anna", "laptop-0002")
    back = comes_back(bart, "/declarations/1?year=2026")
    asked = people.metric("belfry_provider_requests_total")
    with people.away(PAUSED, "idp-finance", people.provider_wire):
        page = in_time(bart.step, back)
        assert page.status == 202 and page.get("content-language") == "fr" and "Un instant" in page.body.decode()
        assert page.get("cache-control") == "no-store" and "default-src 'none'" in page.get("content-security-policy")
        assert "code=" not in page.get("refresh") and b"<script" not in page.body
        link = re.search(r'class="button" href="([^"]*)"', page.body.decode())[1]
        assert html.unescape(link) == page.get("refresh").partition("url=")[2], "by hand, too"
        page = in_time(bart.ask_again, page, 1)
        assert page.status == 202
        assert people.metric("belfry_provider_requests_total") == asked + 1, "the code is spent once"
        # The attempt's name alone opens nothing, and the code can't be brought a second time.
        stolen = thief.ask(urllib.parse.urljoin(page.url, page.get("refresh").partition("url=")[2]))
        assert stolen.status == 403 and people.decision(stolen.get("belfry-reference"))[
            "belfry.reason_code"] == "sign_in_elsewhere"
        again = in_time(bart.step, back)
        assert again.status == 403 and people.decision(again.get("belfry-reference"))[
            "belfry.reason_code"] == "sign_in_expired"
    thief.cookies = dict(bart.cookies)
    page = bart.wait_through(page)
    assert page.status == 303 and "handover=" in page.get("location")
    page = bart.go(page.get("location"))
    assert page.status == 200 and page.url == bart.at(TAX, "/declarations/1?year=2026")
    assert not any("-at-" in name or "-try-" in name for _, _, name in bart.cookies)
    assert thief.go(thief.visited[0]).status == 403, "the hand-over is good once"


def test_who_reloads_the_page_while_the_provider_hangs_is_signed_in_by_the_first_time(people):
    anna = Person(people, "anna")
    back = comes_back(anna)
    url = urllib.parse.urljoin(back.url, back.get("location"))
    with people.away(PAUSED, "idp-finance", people.provider_wire):
        at = urllib.parse.urlsplit(url)
        asked = people.metric("belfry_provider_requests_total")
        with people.tls(at.hostname) as tls:
            tls.sendall(f"GET {at.path}?{at.query} HTTP/1.1\r\nhost: {at.netloc}\r\n"
                        f"cookie: {anna.jar(at.hostname, at.path)}\r\naccept: text/html\r\n\r\n".encode())
            until(lambda: people.metric("belfry_provider_requests_total") > asked, "its code is not spent")
    page = until(lambda: (lambda page: "handover=" in (page.get("location") or "") and page)(anna.ask(url)),
                 "what came of it is lost", 5)
    assert anna.step(page).get("location") == "/declarations/1" and anna.cookie()


def test_who_begins_while_the_provider_can_not_be_found_yet_waits_for_that_too(people):
    anna = Person(people, "anna")
    with people.away(PAUSED, "idp-finance", people.provider_wire):
        people.update("finance", lambda text: text.replace("client_id: belfry", "client_id: belfry\n      refresh_after: 20m", 1))
        page = in_time(anna.go, anna.at(TAX, "/declarations/1"))
        assert page.status == 202 and "/.belfry/begin?attempt=" in page.get("refresh")
        page = in_time(anna.ask_again, page, 1)
        assert page.status == 202
    page = anna.wait_through(page)
    page = anna.prove(anna.go(urllib.parse.urljoin(page.url, page.get("location"))), "anna")
    assert page.status == 200 and page.url == anna.at(TAX, "/declarations/1")


class LaterTogether(Clocked):
    """Gateway and provider agree on what time it is."""

    clocked = ("gateway", "idp-finance")


def test_whose_groups_are_too_old_waits_for_the_provider_and_is_where_they_wanted_to_be():
    with LaterTogether(policies=ROOT / "tests/behaviour/policy/sign_in", workers=2, extra_config=UNLIMITED) as world:
        world.begin()
        world.update("finance", lambda text: text.replace(
            "client_id: belfry", "client_id: belfry\n      refresh_after: 1m\n      refresh_grace: 0s", 1))
        anna, there = Person(world, "anna"), "/declarations/1?year=2026"
        assert anna.open(path=there).status == 200
        pid = world.processes["idp-finance"].pid
        world.set_clock(61)
        os.kill(pid, signal.SIGSTOP)
        try:
            page = in_time(anna.ask, anna.at(TAX, there))
            assert page.status == 202 and page.get("refresh").startswith("1;url=/.belfry/wait?to=%2Fdeclarations")
            asked = in_time(lambda url: anna.ask(url, headers=("accept: application/json",)), anna.at(TAX, there))
            assert asked.status == 503 and asked.problem == "provider_unavailable", "no page for a script"
            page = in_time(anna.ask_again, page, 1)
            assert page.status == 202
        finally:
            os.kill(pid, signal.SIGCONT)
        page = anna.wait_through(page)
        assert page.status == 303 and page.get("location") == there
        assert anna.step(page).status == 200
        elsewhere = anna.ask(anna.at(TAX, "/.belfry/wait?to=//evil.example/&n=1"))
        assert elsewhere.status == 303 and elsewhere.get("location") == "/"


@pytest.mark.parametrize("way", some(PAUSED, "wrong"))
def test_a_provider_is_away_and_people_are_signed_in(people, way):
    anna, bart = Person(people, "anna"), Person(people, "anna", "laptop-0002")
    issuer = people.providers["finance"]["issuer"]
    assert anna.open(path="/declarations/1").status == 200

    def to_provider(person):
        return person.go(person.at(TAX, "/declarations/1"), stop=lambda url: url.startswith(issuer))

    # He has been at the provider, and comes back with its code while it is away.
    led = bart.step(to_provider(bart))
    while led.status in REDIRECTS:
        led = bart.step(led)
    back = bart.prove(led, "anna", stop=lambda url: "/.belfry/callback" in url)
    assert back.status in REDIRECTS, back
    with Traffic(anna=Signed(anna), new=Signed(anna, keeps=False)) as traffic:
        with people.away(way, "idp-finance", people.provider_wire):
            traffic.forget()
            began = time.monotonic()
            page = to_provider(Person(people, "anna", "laptop-0002"))
            assert time.monotonic() - began < LIMIT_S and page.status in (*REDIRECTS, 503)
            page = in_time(bart.step, back)
            assert page.status == (503 if way in ("gone", "wrong", "garbage") else 202)
            while page.status == 202:
                page = in_time(bart.ask_again, page, 1)
            assert page.status == 503 and page.get("retry-after") and b"/.belfry/sign-in?to=" in page.body
            traffic.rounds()
        traffic.check()
    until(lambda: Person(people, "anna", "laptop-0002").open().status == 200, "nobody can sign in", 15)
    assert Signed(anna).ask()[0] == INSIDE


class Ear:
    """A login host of a test's own, to which a provider says what it would say to the gateway's."""

    def __init__(self, world):
        home = world.pki / "certificates/idp.localhost"
        self.heard = []
        heard = self.heard

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                heard.append(urllib.parse.parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(home / "fullchain.pem", home / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.origin = f"https://idp.localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def logout_token(world, name):
    """What the provider says when it ends that person's sessions, by a key that is new."""
    with Ear(world) as ear:
        world.tell_provider("finance", "login", origin=ear.origin)
        world.tell_provider("finance", "rotate")
        world.tell_provider("finance", "end", name=name)
        said = until(lambda: ear.heard, "it says nothing")[0]
    world.tell_provider("finance", "login", origin=f"https://{LOGIN}:{world.port}")
    return said["logout_token"][0]


@pytest.mark.parametrize("way", ["gone", "hung"])
def test_a_provider_ends_sessions_by_a_key_that_can_not_be_fetched_now_and_says_it_again(people, way):
    carine = Person(people, "carine")
    assert carine.open(path="/declarations/1").status == 200
    token = logout_token(people, "carine")

    def say(token=token):
        there = f"https://{LOGIN}:{people.port}/.belfry/backchannel-logout"
        return in_time(lambda url: carine.ask(url, "POST", {"logout_token": token}), there)

    with people.provider_wire.broken(way):
        answer = say()
        assert answer.status == 503 and answer.get("retry-after"), answer
        assert Signed(carine).ask()[0] == INSIDE
    # What hung goes on by itself when the provider answers; else the provider says it again.
    if way == "gone":
        until(lambda: say().status == 200, "what it says again is refused", 15)
    until(lambda: Signed(carine).ask()[0] == (401, "identity_required"), "the sign-out is lost", 15)
    assert say().status == 400, "it counts once"
    assert say(".".join([*token.split(".")[:2], "A" * 86])).status == 400, "a forged one never"


def test_who_signs_out_while_the_provider_was_never_found_is_signed_out_here_and_told_so(people):
    anna = Person(people, "anna")
    assert anna.open(path="/declarations/1").status == 200
    cookie = anna.cookie()
    question = anna.go(anna.at(TAX, "/.belfry/sign-out"))
    with people.away(PAUSED, "idp-finance", people.provider_wire):
        people.update("finance", lambda text: text.replace("client_id: belfry", "client_id: belfry\n      refresh_grace: 61m", 1))
        page = in_time(lambda page: anna.press(page, "sign-out"), question)
        assert page.status == 200 and "You are signed out here" in page.body.decode(), page.body
        assert "could not be reached" in page.body.decode() and anna.cookie() is None
        assert Signed(anna, cookie).ask()[0] == (401, "identity_required")
    event = until(lambda: [e for e in people.events() if e["event.action"] == "sign-out"], "it is not told")[-1]
    assert event["belfry.detail"] == "the provider could not be found to end it there"
