# SPDX-License-Identifier: EUPL-1.2
"""Two gateways with one store and the same keys, as behind a load balancer: a person is signed in at both or at none,
and what ends, ends at both, and is told once."""

import concurrent.futures
import json
import socket
import struct
import threading
import time

import pytest

from test_revoke import revoke
from test_sign_in import COOKIE, LOGIN, NOTES, TAX, Person
from world import ROOT, World, free_port, until

PROXY_V2, HERE = b"\r\n\r\n\0\r\nQUIT\n", socket.inet_aton("127.0.0.1")


class Balancer:
    """One address for two gateways: each connection goes to the one that `to` says, or to each in turn."""

    def __init__(self, ports):
        self.ports, self.to, self.turn = ports, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.turn += 1
            gateway = socket.create_connection(("127.0.0.1", self.ports[self.turn % 2 if self.to is None else self.to]))
            gateway.sendall(PROXY_V2 + struct.pack("!BBH4s4sHH", 0x21, 0x11, 12, HERE, HERE, client.getpeername()[1], self.port))
            for pair in ((client, gateway), (gateway, client)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    @staticmethod
    def _carry(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for end in (a, b):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class Pair(World):
    """`to(0)`, `to(1)`: from now on to that gateway; `to(None)`: to the two in turn."""

    balancer = None

    def begin(self):
        super().begin(gateway=False)
        one, admin = self.ports["gateway"], self.ports["admin"]
        two, second_admin = free_port(), free_port()
        self.admins = [admin, second_admin]
        self.audits = [self.audit, self.folder / "audit-two.jsonl"]
        (self.folder / "state-two").mkdir(mode=0o700)
        text = self.config.read_text().replace(
            f'listen: ["127.0.0.1:{one}"]',
            f'listen: [{{ address: "127.0.0.1:{one}", proxy_protocol_from: ["127.0.0.1/32"] }}]')
        self.config.write_text(text)
        for old, new in ((f"127.0.0.1:{one}", f"127.0.0.1:{two}"), (f"127.0.0.1:{admin}", f"127.0.0.1:{second_admin}"),
                         (f"{self.folder}/state", f"{self.folder}/state-two"), (str(self.audit), str(self.audits[1]))):
            assert old in text
            text = text.replace(old, new)
        self.second = self.folder / "second.yaml"
        self.second.write_text(text)
        self.start_gateways()
        self.balancer = Balancer([one, two])
        self.ports["gateway"] = self.balancer.port
        self.introduce_login_hosts(self.port)
        self.tell_provider("health", "login", origin=f"https://{LOGIN}:{self.port}")
        return self

    def start_gateways(self):
        self.start_gateway()
        self.spawn("second", [self.belfry, "run", "-c", self.second])
        for gateway in (0, 1):
            until(lambda: self.admin_of(gateway, "/readyz")[0] == 200, "it is not ready", 30)

    def __exit__(self, *what):
        if self.balancer:
            self.balancer.close()
        super().__exit__(*what)

    def to(self, gateway):
        self.balancer.to = gateway

    def admin_of(self, gateway, path):
        self.ports["admin"] = self.admins[gateway]
        try:
            return self.admin(path)
        finally:
            self.ports["admin"] = self.admins[0]

    def metric_of_both(self, name):
        total = 0.0
        for gateway in (0, 1):
            text = self.admin_of(gateway, "/metrics")[1]
            total += sum(float(line.rpartition(" ")[2]) for line in text.splitlines()
                         if line.startswith((f"{name} ", f"{name}{{")))
        return total

    def told(self, **wanted):
        """The events of both audits that have these values."""
        lines = [json.loads(line) for audit in self.audits for line in audit.read_text().splitlines()]
        return [e for e in lines if all(e.get(key.replace("__", ".")) == value for key, value in wanted.items())]


@pytest.fixture(scope="module")
def pair():
    with Pair(policies=ROOT / "tests/behaviour/policy/sign_in", workers=2) as pair:
        pair.begin()
        yield pair


@pytest.fixture
def anna(pair):
    pair.to(0)
    return Person(pair, "anna")


def ask(person, host=TAX, path="/declarations/1"):
    return person.ask(person.at(host, path)).status


def begin_session(pair, person, host=TAX, path="/"):
    """Signs in, and says which session the audit has of it: its handle."""
    def begun():
        return {e["belfry.session"] for e in pair.told(event__action="sign-in")}

    before = begun()
    assert person.open(host, path).status == 200
    handle, = until(lambda: begun() - before, "the sign-in is told")
    return handle


def test_a_session_made_at_one_is_good_at_the_other(pair, anna):
    assert anna.open().status == 200
    pair.to(1)
    assert ask(anna) == 200
    assert anna.whoami()["user"]["id"] == "fas:anna"


def test_a_sign_in_may_meet_the_other_gateway_at_each_step(pair, anna):
    pair.to(None)
    for _ in range(4):
        person = Person(pair, "anna")
        page = person.open(path="/declarations/12?year=2026")
        assert page.status == 200 and page.url == person.at(TAX, "/declarations/12?year=2026")
        assert not person.tries()


def test_who_signs_out_at_one_is_signed_out_at_the_other_at_once(pair, anna):
    anna.open()
    old = anna.cookie()
    pair.to(1)
    assert ask(anna) == 200, "the other one knows the session, too"
    pair.to(0)
    anna.sign_out()
    pair.to(1)
    anna.cookies[TAX, "/", COOKIE] = old
    until(lambda: ask(anna) == 303, "signed out at the other", limit_s=1)


def test_what_an_operator_takes_back_ends_at_both_and_is_told_once(pair, anna):
    handle = begin_session(pair, anna)
    for gateway in (0, 1):
        pair.to(gateway)
        assert ask(anna) == 200
    revoke(pair, "session", handle, "--reason", "a stolen laptop")
    for gateway in (0, 1):
        pair.to(gateway)
        until(lambda: ask(anna) == 303, "ended", limit_s=1)
    until(lambda: pair.told(event__action="session-end", belfry__session=handle), "its end is told")
    bart = Person(pair, "bart", "laptop-0002")
    of_bart = begin_session(pair, bart, NOTES)
    revoke(pair, "user", "fas:bart")
    until(lambda: pair.told(event__action="session-end", belfry__session=of_bart), "so is the next")  # both have looked by then
    event, = pair.told(event__action="session-end", belfry__session=handle)
    assert event["belfry.detail"].startswith("revoked (session) by ") and event["event.type"] == ["end"]
    assert event["belfry.provider"] == "fas" and event["device.id"] == "finance-laptops:laptop-0001"


def test_a_newer_sign_in_in_its_browser_ends_a_session_and_that_is_told(pair):
    pair.to(0)
    carine = Person(pair, "carine")
    first = begin_session(pair, carine, path="/declarations/1")
    page = carine.prove(carine.go(carine.at(TAX, "/payments/7")), "carine", "eid")
    assert page.status == 200
    until(lambda: [e["belfry.detail"] for e in pair.told(event__action="session-end", belfry__session=first)] ==
          ["replaced by a newer sign-in"], "the first one's end is told")


@pytest.mark.long
def test_one_of_both_asks_the_provider_again_for_a_session(pair, anna):
    pair.update("finance", lambda text: text.replace("client_id: belfry", "client_id: belfry\n      refresh_after: 60s", 1))
    anna.open()
    pair.to(1)
    assert ask(anna) == 200
    end = time.monotonic() + 61
    until(lambda: time.monotonic() > end, "a minute", 62)
    before = pair.metric_of_both("belfry_provider_requests_total")
    pair.to(None)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda _: ask(anna), range(16))) == [200] * 16
    assert pair.metric_of_both("belfry_provider_requests_total") - before == 1
