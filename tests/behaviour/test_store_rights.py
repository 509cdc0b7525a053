# SPDX-License-Identifier: EUPL-1.2
"""The store with the users that docs/operations.md gives it, read out of that page: all that a gateway, `belfry revoke`,
`belfry device` and those who publish do with it they may do, and they may do nothing that they don't. And over the TLS
that the same page describes."""

import contextlib
import re
import socket
import threading
import time

import pytest
import redis

from conftest import check_end
from forger import Prover, Signer, with_own_provider
from scenery import Trouble
from test_sign_in import LOGIN, NOTES, TAX, Person
from world import ROOT, World, free_port, until

PAGE = ROOT / "docs/operations.md"
PASSWORDS = {"gateway": "gateway-password", "publisher": "publisher-password", "watcher": "watcher-password"}
BOUND, LISTED = "bound.finance.localhost", "listed.finance.localhost"
OWN = "https://own.finance.example"
ENTITY = "fod-finance"
LAPTOP = "finance-laptops:laptop-0001"
ALWAYS = {"auth", "ping", "select"}  # at each beginning; the monitor does not show the first, the last is for /DB


def users():
    """The lines of the page, as they are: Redis knows no line that goes on in the next."""
    lines = re.findall(r"(?m)^    (user \w+ on .*|user default .*)$", PAGE.read_text())
    assert len(lines) == 3, lines
    return [re.sub(r">PASSWORD", lambda _: f">{PASSWORDS[line.split()[1]]}", line) for line in lines]


def granted(user):
    (line,) = [line for line in users() if line.startswith(f"user {user} ")]
    return set(re.findall(r"\+([a-z_]+)", line))


class Guarded(World):
    """Its store listens on TCP, for these users alone."""

    is_watched, watch = True, None

    def begin(self):
        self.redis_port = free_port()
        self.store = self.url("publisher")
        super().begin(gateway=False)
        self.publisher_config = self.folder / "publisher.yaml"
        self.publisher_config.write_text(self.config.read_text().replace(self.url("gateway"), self.url("publisher")))
        self.watch = Watch(self) if self.is_watched else None
        self.start_gateway()
        self.wait_gateway()
        return self

    def url(self, user):
        return f"redis://{user}:{PASSWORDS[user]}@127.0.0.1:{self.redis_port}"

    def connect(self):
        """Past the users, by the socket."""
        return redis.Redis(unix_socket_path=str(self.redis_socket), username="watcher", password=PASSWORDS["watcher"])

    def start_redis(self):
        config = self.folder / "redis.conf"
        config.write_text("\n".join([
            "bind 127.0.0.1", *self.listening(), f"unixsocket {self.redis_socket}", 'save ""', "appendonly yes",
            "appendfsync always", f"dir {self.folder}", f"logfile {self.log('redis')}", *users(),
            f"user watcher on >{PASSWORDS['watcher']} ~* &* +@all", ""]))
        self.spawn("redis", ["redis-server", config])

    def listening(self):
        return [f"port {self.redis_port}"]

    def wait_redis(self):
        def ready():
            with contextlib.suppress(redis.RedisError), self.connect() as store:
                return store.ping()

        self.until("redis", ready, "no answer on its port")

    def write_config(self, port, admin_port):
        self.store = self.url("gateway")
        super().write_config(port, admin_port)
        self.store = self.url("publisher")

    def command(self, *argv, **more):
        """Who it is that speaks to the store now, the watch wants to know."""
        if not self.watch:
            return super().command(*argv, **more)
        is_publisher = self.store in argv or self.publisher_config in argv
        with self.watch.of("publisher" if is_publisher else "gateway"):
            return super().command(*argv, **more)


class Watch:
    """What each user has asked of the store, scripts included. By a connection of its own: of sealed bytes, the client's
    own monitor makes words."""

    def __init__(self, world):
        self.used, self.user, self.marks = {"gateway": set(), "publisher": set()}, "gateway", set()
        self.store, self.line = world.connect(), socket.socket(socket.AF_UNIX)
        self.line.connect(str(world.redis_socket))
        self.line.sendall(f"AUTH watcher {PASSWORDS['watcher']}\r\nMONITOR\r\n".encode())
        self.said = self.line.makefile("rb")
        assert [self.said.readline() for _ in range(2)] == [b"+OK\r\n"] * 2
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        owners, owner = {}, None
        for line in self.said:
            at, name, first = re.match(rb'\+\S+ \[\d+ (\S+)\] "(\w*)"(?: "([\w-]+)")?', line).groups()
            if at.startswith(b"unix:"):
                self.marks.add(first)
                continue
            if at != b"lua":  # that is the script that the last one has sent
                owner = owners.setdefault(at, self.user)
            self.used[owner].add(name.decode().lower())

    def catch_up(self):
        mark = f"mark-{time.monotonic_ns()}".encode()
        self.store.echo(mark)
        until(lambda: mark in self.marks, "the monitor is behind")

    @contextlib.contextmanager
    def of(self, user):
        self.catch_up()
        self.user = user
        try:
            yield
        finally:
            self.catch_up()
            self.user = "gateway"


def refused(world):
    """What somebody was not allowed."""
    with world.connect() as store:
        return [(one["username"], one["reason"], one["context"], one["object"]) for one in store.acl_log()]


def applications(world, signer):
    upstream = f"upstreams: [http://127.0.0.1:{world.origin.port}]"
    return lambda text: with_own_provider(text, signer, OWN, "leeway: 0s").replace(
        "    ca_file: finance-devices.pem\n", "    ca_file: finance-devices.pem\n    inventory: optional\n") + f"""
  - id: bound
    host: {BOUND}
    device: none
    dpop: required
    identity_providers: [own]
    {upstream}
    rules:
      - id: bound-users
        permit: {{}}
        when: 'user.subject != ""'
  - id: listed
    host: {LISTED}
    device: required
    inventory: required
    {upstream}
    rules:
      - id: listed-devices
        permit: {{}}
"""


def publish_by_hand(world):
    """Two people, a draft between them; and back again."""
    def policy(verb, *argv):
        return world.command("policy", verb, *argv, "-c", world.publisher_config)

    approver, second = world.folder / "keys/health.key", world.folder / "keys/approver.key"
    world.edit("health", lambda text: text)
    bundle = world.policy_file("health")
    serial = int(re.search(r"(?m)^serial: (\d+)", bundle.read_text())[1])
    policy("sign", bundle, "--key", approver)
    assert "draft" in policy("show") and "health-agency" in policy("show")
    read = policy("show", "--draft", "health-agency")
    policy("sign", "--draft", "health-agency", "--digest", re.search(r"digest +(\w+)", read)[1], "--key", second)
    policy("publish", "--draft", "health-agency")
    assert "draft" not in policy("show", "health-agency")
    policy("roll-back", "health-agency", "--to", serial - 1, "--key", approver, "--key", second)


def sign_in_and_out(world):
    anna = Person(world, "anna")
    assert anna.open(TAX, "/declarations/1").status == 200 and anna.open(NOTES).status == 200
    page = anna.go(anna.at(TAX, "/.belfry/sessions"))
    assert page.body.count(b'name="end"') >= 1
    anna.press(page, "end-all")
    until(lambda: anna.ask(anna.at(NOTES, "/")).status == 303, "signed out of the notes")
    assert anna.open(TAX, "/declarations/3").status == 200
    anna.sign_out()
    carine = Person(world, "carine")
    carine.open(path="/declarations/4")
    world.tell_provider("finance", "end", name="carine")  # in the back channel
    until(lambda: carine.ask(carine.at(TAX, "/")).status == 303, "signed out by the provider")


def ends_of(world):
    return [e for e in world.events() if e["event.action"] == "session-end"]


def revoke(world):
    bart = Person(world, "bart", "laptop-0002")
    assert bart.open(NOTES).status == 200
    ended = len(ends_of(world))
    world.command("revoke", "user", "fas:bart", "--entity", ENTITY, "--for", "1s", "-c", world.config)
    until(lambda: bart.ask(bart.at(NOTES)).status == 303, "it does not count")
    until(lambda: len(ends_of(world)) > ended, "the end of the session is not told", 30)  # found by the walk
    world.command("revoke", "device", LAPTOP, "--entity", ENTITY, "-c", world.config)  # and the old one goes
    world.command("revoke", "device", LAPTOP, "--entity", ENTITY, "--lift", "-c", world.config)
    assert LAPTOP in world.command("revocations", "--entity", ENTITY, "--all", "-c", world.config)
    restored = world.metric("belfry_revocations_restored_total")
    with world.connect() as store:  # what a fail-over would lose
        for name in store.keys("belfry:revoked:*"):
            store.delete(name)
    until(lambda: world.metric("belfry_revocations_restored_total") > restored, "the list is not written back", 30)


def import_devices(world):
    file = world.folder / "devices.csv"
    file.write_text(f"id,owner,compliant\n{LAPTOP},fas:anna,true\nfinance-laptops:laptop-0002,,false\n")
    words = ("--entity", ENTITY, "-c", world.config)
    world.command("device", "import", file, *words)
    until(lambda: world.ask(LISTED, cert="laptop-0001").status == 200, "it is not listed")
    assert "laptop-0002" in world.command("device", "list", *words)
    world.command("device", "set", LAPTOP, "compliant=false", *words)
    assert "compliant: false" in world.command("device", "show", LAPTOP, *words)
    world.command("device", "remove", LAPTOP, *words)


def prove(world, signer):
    prover = Prover()
    token = signer.token(OWN, "own-api", payload={"cnf": {"jkt": prover.thumbprint}})
    proof = prover.proof("GET", f"https://{BOUND}:{world.port}/", token)
    fields = [f"authorization: DPoP {token}", f"dpop: {proof}"]
    assert [world.ask(BOUND, headers=fields).status for _ in range(2)] == [200, 401]


def come_back(world):
    """The store is gone, and there again; what was published meanwhile is read."""
    world.stop("redis")
    until(lambda: world.metric("belfry_store_connected") == 0, "it does not notice")
    world.start_redis()
    world.wait_redis()
    until(lambda: world.metric("belfry_store_connected") == 1, "it does not connect again", 20)
    world.update("finance", lambda text: text)


def test_each_may_do_what_it_does_and_nothing_else():
    signer = Signer("own-1")
    with Guarded(policies=ROOT / "tests/behaviour/policy/sign_in", hosts=[BOUND, LISTED]) as world:
        world.begin()
        world.tell_provider("health", "login", origin=f"https://{LOGIN}:{world.port}")
        world.update("finance", applications(world, signer))
        publish_by_hand(world)
        sign_in_and_out(world)
        revoke(world)
        import_devices(world)
        prove(world, signer)
        world.watch.catch_up()
        assert refused(world) == []
        for user in ("gateway", "publisher"):
            used = world.watch.used[user] - ALWAYS
            assert used == granted(user) - ALWAYS, (user, "only used", used - granted(user), "only granted", granted(user) - used)
        world.watch = None  # it goes with the store
        come_back(world)
        sign_in_and_out(world)
        assert refused(world) == []
        check_end(world)


class Tunnelled(Guarded):
    """Its store is reached by TLS alone, and asks for a certificate; stunnel carries that as the page says."""

    is_watched = False

    def listening(self):
        home = self.pki / "certificates/idp.localhost"
        return ["port 0", f"tls-port {self.tls_port}", f"tls-cert-file {home}/fullchain.pem", f"tls-key-file {home}/key.pem",
                f"tls-ca-cert-file {self.pki}/ca/finance-services.pem", "tls-auth-clients yes"]

    def start_redis(self):
        self.tls_port = free_port()
        super().start_redis()
        self.start_tunnel()

    def start_tunnel(self, leave_out=""):
        (block,) = re.findall(r"(?m)^    \[belfry-store\]\n(?:    .*\n)+", PAGE.read_text())
        for theirs, ours in (("127.0.0.1:6379", f"127.0.0.1:{self.redis_port}"),
                             ("store.example:6380", f"127.0.0.1:{self.tls_port}"), ("store.example", "idp.localhost"),
                             ("/etc/belfry/store-ca.pem", self.trust),
                             ("/etc/belfry/store-client.pem", self.pki / "clients/batch.pem"),
                             ("/etc/belfry/store-client.key", self.pki / "clients/batch.key")):
            assert theirs in block
            block = block.replace(theirs, str(ours))
        if leave_out:
            block = re.sub(rf"(?m)^ *(?:{leave_out}) = .*\n", "", block)
        file = self.folder / "stunnel.conf"
        file.write_text(f"foreground = yes\npid =\n{block}")
        self.spawn("stunnel", ["stunnel", file])

        def listens():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.redis_port), 1):
                return True

        self.until("stunnel", listens, "it does not listen")


def test_a_store_on_another_machine_is_reached_over_tls_with_a_certificate_and_a_password():
    with Tunnelled() as world:
        world.begin()
        assert world.metric("belfry_store_connected") == 1
        world.update("finance", lambda text: text)
        world.stop("stunnel")
        until(lambda: world.metric("belfry_store_connected") == 0, "it does not notice")
        world.start_tunnel(leave_out="cert|key")
        with pytest.raises(Trouble):
            world.publish("finance")
        assert world.metric("belfry_store_connected") == 0
        world.stop("stunnel")
        world.start_tunnel()
        until(lambda: world.metric("belfry_store_connected") == 1, "it does not connect again", 20)
        world.update("finance", lambda text: text)
        check_end(world)
