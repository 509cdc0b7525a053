# SPDX-License-Identifier: EUPL-1.2
"""Upstreams by name: resolved by the gateway, again as time to live says; no answer, whatever it is, leads out of the
entity's networks."""

import errno
import re
import socket
import threading
import time

import pytest

from dns_server import SERVFAIL, DnsServer
from origin import Origin
from world import World, until

NAME = "backend.example"
HOST = "open.finance.localhost"
# What DNS may say and must lead nowhere; the entity has 127.0.0.2/31 alone. The system would bring each of the first
# ones to a server that listens here.
ELSEWHERE = {
    "another loopback address": ["127.0.0.1"],
    "one more": ["127.0.0.7"],
    "the same, inside of IPv6": ["::ffff:127.0.0.1"],
    "IPv6's loopback": ["::1"],
    "no address": ["0.0.0.0"],
    "no address, in IPv6": ["::"],
    "no address, inside of IPv6": ["::ffff:0.0.0.0"],
    "a cloud's metadata": ["169.254.169.254"],
    "a cloud's metadata, inside of IPv6": ["::ffff:169.254.169.254"],
    "a cloud's metadata, in IPv6": ["fd00:ec2::254"],
    "a link-local address": ["fe80::1"],
    "all at once": ["127.0.0.1", "::1", "0.0.0.0", "169.254.169.254"],
}

HEAD = """\
belfry: entity/v1
entity: fod-finance
serial: 1
not_after: 2030-01-01T00:00:00Z
applications:
"""
APPLICATION = """\
  - id: ID
    host: ID.finance.localhost
    device: none
    upstreams: [http://NAME:PORT]
    health: { path: /health, interval: 500ms, timeout: 400ms, fall: 2, rise: 1 }
    timeouts: { connect: 1s, first_byte: 2s }
    rules:
      - id: everybody
        permit: {}
"""
MOVED = [(f"moved-{i}", f"moved-{i}.example", addresses) for i, addresses in enumerate(ELSEWHERE.values())]
FINANCE = HEAD + "".join(APPLICATION.replace("ID", app).replace("NAME", name)
                         for app, name in [("open", NAME), *((app, name) for app, name, _ in MOVED)])


class Ear:
    """Counts who connects to these addresses; it says nothing."""

    def __init__(self, port, *addresses):
        self.connections = 0
        self.sockets = []
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, port))
            listener.listen()
            self.sockets.append(listener)
            threading.Thread(target=self._hear, args=(listener,), daemon=True).start()

    def _hear(self, listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            peer.close()

    def close(self):
        for listener in self.sockets:
            listener.close()


class Named(World):
    def __init__(self, folder, dns, **settings):
        (folder / "finance.yaml").write_text(FINANCE)
        hosts = [f"{app}.finance.localhost" for app, _, _ in MOVED]
        super().__init__(policies=folder, hosts=hosts, extra_config=f'dns: {{ servers: ["{dns.address}"] }}\n', **settings)
        self.dns = dns
        self.first, self.second, self.ear = self.one_port()

    def one_port(self):
        """Two origins inside of the networks and an ear outside, all on one port."""
        for _ in range(50):
            first = Origin("127.0.0.2")
            try:
                ear = Ear(first.port, "127.0.0.1", "127.0.0.7", "::1")
                return first, Origin("127.0.0.3", first.port), ear
            except OSError as error:
                assert error.errno == errno.EADDRINUSE, error
        raise AssertionError("no port is free on all addresses")

    def write_policy(self):
        super().write_policy()
        finance, charter = (self.folder / "policy" / name for name in ("finance.yaml", "charter.yaml"))
        finance.write_text(finance.read_text().replace("PORT", str(self.first.port)))
        charter.write_text(charter.read_text().replace("127.0.0.1/32", "127.0.0.2/31", 1))

    def checks(self, origin, host=HOST):
        return len([request for request in origin.seen("/health") if request.get("host") == host])

    def is_checked(self, origin, host=HOST):
        """It is asked from now on."""
        before = self.checks(origin, host)
        until(lambda: self.checks(origin, host) > before, f"{origin.address} is not asked", 20)

    def is_given_up(self, origin, hosts=(HOST,)):
        """No check of it within three times their interval."""
        seen = [0, time.monotonic()]

        def is_quiet():
            if (now := sum(self.checks(origin, host) for host in hosts)) != seen[0]:
                seen[:] = now, time.monotonic()
            return time.monotonic() - seen[1] > 1.5

        until(is_quiet, f"{origin.address} is still asked", 20)


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    with DnsServer() as dns:
        dns.answers = {name: ["127.0.0.2"] for name in (NAME, *(name for _, name, _ in MOVED))}
        with Named(tmp_path_factory.mktemp("policy"), dns) as made:
            yield made.begin()
            made.ear.close()
            assert made.stop("gateway", patience_s=20) == 0
            assert "Sanitizer" not in made.log_text() and "runtime error" not in made.log_text(), made.log_text()[-6000:]


@pytest.fixture(autouse=True)
def as_it_was(named):
    named.dns.answers[NAME] = ["127.0.0.2"]
    named.dns.rcode, named.dns.is_silent = None, False
    named.is_checked(named.first)
    until(lambda: named.metric("belfry_dns_names_failing") == 0, "DNS is well", 40)


def test_a_name_is_asked_for_as_it_stands_and_in_both_families(named):
    assert {name for name, _ in named.dns.asked} == set(named.dns.answers)
    assert {kind for name, kind in named.dns.asked if name == NAME} == {1, 28}


def test_a_name_that_moves_is_followed_when_its_time_to_live_is_over(named):
    assert named.ask(HOST, "/before").status == 200 and named.first.seen("/before")
    named.dns.answers[NAME] = ["127.0.0.3"]
    named.is_checked(named.second)
    named.is_given_up(named.first)
    assert named.ask(HOST, "/after").status == 200 and named.second.seen("/after")
    assert not named.first.seen("/after")


def test_both_addresses_of_a_name_are_used(named):
    named.dns.answers[NAME] = ["127.0.0.2", "127.0.0.3"]
    named.is_checked(named.second)
    named.is_checked(named.first)

    def both():
        assert named.ask(HOST, "/both").status == 200
        return named.first.seen("/both") and named.second.seen("/both")

    until(both, "both have a request")


def test_no_answer_leads_out_of_the_networks(named):
    """DNS rebinding: each of these names led to a good address first."""
    for app, name, addresses in MOVED:
        named.is_checked(named.first, f"{app}.finance.localhost")
        named.dns.answers[name] = addresses
    named.is_given_up(named.first, [f"{app}.finance.localhost" for app, _, _ in MOVED])
    asked = len(named.dns.asked)
    until(lambda: {name for name, _ in named.dns.asked[asked:]} == set(named.dns.answers), "they are asked for again", 20)
    for app, name, _ in MOVED:
        answer = named.ask(f"{app}.finance.localhost")
        assert answer.status == 502 and answer.problem == "upstream_outside", name
    assert named.ear.connections == 0
    assert named.metric("belfry_upstreams_checked") == 1


def test_addresses_inside_are_used_beside_those_outside(named):
    named.dns.answers[NAME] = ["127.0.0.1", "127.0.0.3", "169.254.169.254", "0.0.0.0"]
    named.is_checked(named.second)
    named.is_given_up(named.first)
    assert [named.ask(HOST, "/inside").status for _ in range(20)] == [200] * 20
    assert len(named.second.seen("/inside")) == 20
    assert named.ear.connections == 0


@pytest.mark.parametrize("how", ["silent", "SERVFAIL"])
def test_while_dns_is_away_the_last_good_answer_goes_on(named, how):
    failures = named.metric("belfry_dns_failures_total")
    named.dns.is_silent, named.dns.rcode = how == "silent", SERVFAIL
    until(lambda: named.metric("belfry_dns_failures_total") > failures, "no failure is counted", 60)
    assert named.metric("belfry_dns_names_failing") >= 1
    assert re.search(rf"no answer for '{NAME}': .*; the last one goes on", named.log_text())
    named.is_checked(named.first)
    assert named.ask(HOST).status == 200


def test_a_name_that_is_gone_leads_nowhere(named):
    del named.dns.answers[NAME]
    named.is_given_up(named.first)
    assert f"'{NAME}' has no address" in named.log_text()
    answer = named.ask(HOST)
    assert answer.status == 502 and answer.problem == "upstream_unresolved"
