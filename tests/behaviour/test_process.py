# SPDX-License-Identifier: EUPL-1.2
"""The process itself: what it has given up, what still works without it, and how its sockets come to be."""

import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from callers import H2, read_answer
from conftest import check_end
from scenery import free_port
from test_failures import OPEN, hang_up, is_let_in, raw_request, renew
from world import ROOT, World, until


def status(pid, name):
    return re.search(rf"(?m)^{name}:\s+(\S+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]


def threads(pid):
    return [int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def is_closed(world):
    """False under a sanitizer, which the log says: it has system calls of its own."""
    text = world.log_text()
    assert ("sandbox: closed" in text) != ("sandbox: off (a sanitizer" in text), text
    return "sandbox: closed" in text


# What it has given up


def test_it_has_no_capability_and_can_get_none(world):
    pid = world.gateway.pid
    for thread in threads(pid):
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status(thread, name), 16) == 0, (thread, name)
        assert os.geteuid() != 0 or int(status(thread, "CapBnd"), 16) == 0
        assert status(thread, "NoNewPrivs") == "1"


def test_every_thread_is_under_the_filter(world):
    wanted = "2" if is_closed(world) else "0"
    pid = world.gateway.pid
    assert len(threads(pid)) >= 5  # control, compiler, audit, two workers
    assert {status(thread, "Seccomp") for thread in threads(pid)} == {wanted}


def test_it_leaves_no_core_and_its_keys_are_locked_and_in_no_dump(world):
    pid = world.gateway.pid
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"(?m)^Max core file size\s+0\s+0\s", limits)
    assert int(status(pid, "VmLck")) >= 4096, "no keys are locked"
    maps = pathlib.Path(f"/proc/{pid}/smaps").read_text()
    locked = [flags for flags in re.findall(r"(?m)^VmFlags: (.*)$", maps) if "lo" in flags.split()]
    assert locked and all("dd" in flags.split() for flags in locked)


def test_root_is_left_behind_where_the_configuration_says_to_whom(new_world):
    if os.geteuid() != 0:
        pytest.fail("this test is to be run by root, who alone can become somebody else")
    world = new_world(workers=1, begin=False, extra_config="user: nobody\n")
    give_away(world)
    world.begin()
    assert {status(world.gateway.pid, "Uid"), status(world.gateway.pid, "Gid")} == {"65534"}
    assert pathlib.Path(f"/proc/{world.gateway.pid}/status").read_text().count("\t65534\t65534\t65534\t65534") == 2
    assert is_let_in(world) and (world.folder / "state/serials").stat().st_uid == 65534
    hang_up(world)
    assert is_let_in(world)


def give_away(world):
    """All of the world's files to nobody, as they are made: just before the gateway starts."""
    start, path = world.start_gateway, world.folder

    def with_other_files():
        os.chmod(path, 0o755)
        subprocess.run(["chown", "-R", "nobody:nogroup", path], check=True)
        start()

    world.start_gateway = with_other_files


def test_a_user_that_is_not_there_is_named(new_world):
    world = new_world(workers=1, begin=False, extra_config="user: nobody-of-that-name\n")
    world.begin(gateway=False)
    world.start_gateway()
    assert world.gateway.wait(10) == 3
    assert "there is no user 'nobody-of-that-name'" in world.log_text()
    world.processes.pop("gateway")


def test_root_that_stays_root_is_warned(world):
    assert os.geteuid() != 0 or "warning sandbox: started as root" in world.log_text()


def test_the_filter_can_be_turned_off_and_that_is_said(new_world):
    world = new_world(workers=1, extra_config="sandbox: off\n")
    assert status(world.gateway.pid, "Seccomp") == "0" and status(world.gateway.pid, "NoNewPrivs") == "1"
    assert int(status(world.gateway.pid, "CapEff"), 16) == 0
    assert "warning sandbox: off" in world.log_text() and is_let_in(world)


# Asked before a start


def test_check_tells_a_gateway_without_memory_that_it_is_fine(new_world):
    world = new_world(workers=1, begin=False)
    world.begin(gateway=False)
    said = world.command("check", "-c", world.config)
    assert "no charter is remembered yet" in said and said.endswith(": fine\n"), said
    world.trust.unlink()
    done = subprocess.run([world.belfry, "check", "-c", world.config], capture_output=True, text=True)
    assert done.returncode == 1 and f"cannot read fetch.ca_file '{world.trust}'" in done.stderr


def test_check_lists_the_hosts_and_one_without_a_certificate_is_an_error_that_stops_no_gateway(new_world):
    world = new_world(workers=1)
    said = world.command("check", "-c", world.config)
    assert re.search(rf"(?m)^{OPEN} +fod-finance / ", said) and said.endswith(": fine\n"), said
    (world.pki / "certificates/maybe.finance.localhost/fullchain.pem").unlink()
    done = subprocess.run([world.belfry, "check", "-c", world.config], capture_output=True, text=True)
    assert done.returncode == 1 and "maybe.finance.localhost" in done.stderr and OPEN in done.stdout
    assert world.stop("gateway", patience_s=15) == 0
    world.start_gateway()
    world.wait_gateway()
    assert is_let_in(world)


# What goes on without it


def test_all_that_a_gateway_does_later_it_can_do_under_the_filter(new_world):
    """Reload, renewed certificates, the store's loss and return, keys fetched by name, rotation, reopening."""
    world = new_world(workers=2)
    assert is_let_in(world)
    renew(world, OPEN)
    hang_up(world)
    world.update("finance", lambda text: text)
    fetched = world.metric("belfry_jwks_fetches_total")
    world.stop("redis")
    until(lambda: world.metric("belfry_store_connected") == 0, "it does not notice")
    world.start_redis()
    world.wait_redis()
    until(lambda: world.metric("belfry_store_connected") == 1, "the store does not come back")
    world.update("finance", lambda text: text)
    stop_and_start_provider(world)
    until(lambda: world.metric("belfry_jwks_fetches_total") > fetched, "no key set is fetched")
    assert is_let_in(world)
    old = world.audit.rename(world.audit.with_suffix(".old"))
    world.gateway.send_signal(signal.SIGUSR1)
    until(world.audit.exists, "the audit file is not opened again")
    assert is_let_in(world) and old.stat().st_size


def stop_and_start_provider(world):
    """A new key: the gateway must fetch to let anybody in."""
    port = int(world.providers["finance"]["issuer"].rsplit(":", 1)[1])
    world.stop("idp-finance")
    world.start_provider("finance", port)
    world.wait_provider("finance")
    is_let_in(world)


def test_the_audit_is_rotated_under_the_filter(new_world):
    world = new_world(workers=1, begin=False)
    write = world.write_config

    def small(port, admin_port):
        write(port, admin_port)
        world.config.write_text(world.config.read_text().replace("rotate: 64MiB", "rotate: 4KiB"))

    world.write_config = small
    world.begin()
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        until(lambda: h2.ask(OPEN, "/1").status == 200 and list(world.folder.glob("audit.jsonl.2*")), "no rotation")
    assert is_let_in(world)


# The service manager


class Manager:
    """As much of a service manager as the gateway speaks with: sockets that stay, and words that it is told."""

    def __init__(self, world, addresses):
        self.world = world
        self.sockets = [self.bind(*address) for address in addresses]
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(str(world.folder / "notify"))
        self.notices.settimeout(10)

    def bind(self, host, port, listens=True):
        made = socket.socket(socket.AF_INET)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        if listens:
            made.listen(4096)
        return made

    def start(self, pid="$$"):
        fds = [made.fileno() for made in self.sockets]

        def pass_on():  # to 3, 4, ..., from above them so that none is overwritten
            high = [os.dup(os.dup2(fd, 100 + i)) for i, fd in enumerate(fds)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            os.closerange(3 + len(fds), 200)

        with open(self.world.log("gateway"), "ab") as log:
            self.world.processes["gateway"] = subprocess.Popen(
                ["sh", "-c", f'LISTEN_PID={pid} exec "$0" "$@"', self.world.belfry, "run", "-c", self.world.config],
                stdin=subprocess.DEVNULL, stderr=log, stdout=subprocess.DEVNULL, close_fds=False, preexec_fn=pass_on,
                env={**os.environ, "LISTEN_FDS": str(len(fds)), "NOTIFY_SOCKET": str(self.world.folder / "notify")})

    def hear(self, word):
        until(lambda: self.notices.recv(4096).decode() == word, f"it does not say {word}")

    def close(self):
        for made in [*self.sockets, self.notices]:
            made.close()


@pytest.fixture
def managed(new_world):
    """A world whose gateway is started by a manager; `managed(ports)` are those of the passed sockets."""
    made = []

    def make(addresses=None, workers=2):
        world = new_world(workers=workers, begin=False)
        world.begin(gateway=False)
        manager = Manager(world, addresses or [("127.0.0.1", world.port)] * workers)
        made.append(manager)
        return world, manager

    yield make
    for manager in made:
        manager.close()


def test_the_service_manager_is_told_how_it_goes(managed):
    world, manager = managed()
    manager.start()
    manager.hear("READY=1")
    world.wait_gateway()
    world.gateway.send_signal(signal.SIGHUP)
    manager.hear("RELOADING=1")
    manager.hear("READY=1")
    world.gateway.terminate()
    manager.hear("STOPPING=1")
    assert world.gateway.wait(10) == 0
    world.processes.pop("gateway")


def visit_through_restarts(world, restart, times, limit_s=10):
    """Four visitors, who go on coming while it is restarted, and are all served: a refusal is raised here."""
    stop, served = threading.Event(), [0] * 4

    def visit(i):
        while not stop.is_set():
            with world.tls(OPEN) as tls:
                tls.sendall(raw_request(OPEN, "/1"))
                assert read_answer(tls)[0].status == 200
                served[i] += 1

    def is_served_since(before):
        for one in visits:
            if one.done():
                one.result()  # raises what it has raised
        return all(now > then + 5 for now, then in zip(served, before))

    with concurrent.futures.ThreadPoolExecutor(4) as visitors:
        visits = [visitors.submit(visit, i) for i in range(4)]
        try:
            for _ in range(times):
                before = list(served)
                until(lambda: is_served_since(before), "no service", limit_s)
                restart()
        finally:
            stop.set()
        for one in visits:
            one.result()


def test_no_attempt_to_connect_is_refused_while_the_gateway_is_restarted(managed):
    world, manager = managed()
    manager.start()
    world.wait_gateway()

    def restart():
        assert world.stop("gateway", patience_s=15) == 0
        manager.start()
        world.wait_gateway()

    visit_through_restarts(world, restart, 3)


@pytest.mark.parametrize("name", ["too few", "too many", "another address", "not listening", "no socket"])
def test_sockets_that_do_not_fit_are_refused_with_what_is_wrong(managed, name):
    world, manager = managed(workers=2)
    other = ("127.0.0.1", free_port())
    if name == "too few":
        manager.sockets.pop().close()
        wanted = f"1 sockets were passed for '127.0.0.1:{world.port}', and 2 workers need one each"
    elif name == "too many":
        manager.sockets.append(manager.bind("127.0.0.1", world.port))
        wanted = f"3 sockets were passed for '127.0.0.1:{world.port}', and 2 workers need one each"
    elif name == "another address":
        manager.sockets.append(manager.bind(*other))
        wanted = f"socket 5 was passed, bound to 127.0.0.1 port {other[1]}, which is not in `listen`"
    elif name == "not listening":
        manager.sockets.append(manager.bind(*other, listens=False))
        wanted = "socket 5 was passed and does not listen for TCP"
    else:
        manager.sockets.append(open(world.config))
        wanted = "descriptor 5 was passed and is no socket"
    manager.start()
    assert world.gateway.wait(10) == 3
    assert wanted in world.log_text(), world.log_text()
    world.processes.pop("gateway")


def test_what_was_passed_to_another_process_is_not_taken(managed):
    world, manager = managed(addresses=[("127.0.0.1", free_port())])
    manager.start(pid="1")
    world.wait_gateway()
    assert is_let_in(world)


def test_the_unit_exposes_little(tmp_path):
    """systemd's own measure: at most 2.0."""
    unit = tmp_path / "belfry.service"
    unit.write_text((ROOT / "packaging/belfry.service.in").read_text().replace("@BELFRY_BINDIR@", "/usr/bin"))
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
                          capture_output=True, text=True)
    exposure = re.search(r"Overall exposure level for belfry.service: ([\d.]+)", done.stdout)
    assert exposure and float(exposure[1]) <= 2.0, done.stdout + done.stderr


# Clients that a balancer announces

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = "192.0.2.77"


def header(client=CLIENT, port=443, command=0x21, fields=b""):
    if ":" in client:
        addresses = socket.inet_pton(socket.AF_INET6, client) * 2
        family = 0x21
    else:
        addresses = socket.inet_aton(client) + socket.inet_aton("198.51.100.1")
        family = 0x11
    addresses += (56789).to_bytes(2, "big") + port.to_bytes(2, "big")
    return SIGNATURE + bytes([command, family]) + (len(addresses) + len(fields)).to_bytes(2, "big") + addresses + fields


def announced_tls(world, first, host=OPEN, pieces=(), alpn="http/1.1"):
    """A TLS connection behind `first`, which is sent in pieces cut at those places."""
    plain = socket.create_connection(("127.0.0.1", world.port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for start, end in zip((0, *pieces), (*pieces, len(first))):
        plain.sendall(first[start:end])
        if end < len(first):  # until it has been read: nothing of it is left in the socket
            until(lambda: not unread(world, plain), "it is not read")
    try:
        return world.context(alpn=(alpn,)).wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def unread(world, plain):
    """How many bytes of that connection the gateway has not read yet, by the kernel's own table."""
    ours = f"0100007F:{plain.getsockname()[1]:04X}"
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == f"0100007F:{world.port:04X}" and words[2] == ours:
            return int(words[4].split(":")[1], 16)
    raise AssertionError("the connection is gone")


@pytest.fixture(scope="module")
def balanced():
    """A gateway that is spoken to through a balancer on this machine."""
    with World(workers=2) as made:
        listen(made, "127.0.0.0/8")
        yield made.begin()
        check_end(made)


def listen(world, *networks):
    write = world.write_config

    def with_announcements(port, admin_port):
        write(port, admin_port)
        plain = f'listen: ["127.0.0.1:{port}"]'
        made = f'listen: [{{ address: "127.0.0.1:{port}", proxy_protocol_from: {json.dumps(networks)} }}]'
        text = world.config.read_text()
        assert plain in text
        world.config.write_text(text.replace(plain, made))

    world.write_config = with_announcements


def asked(world, tls, path="/1", host=OPEN):
    """(answer, event, what the origin saw of it)."""
    world.origin.clear()
    tls.sendall(raw_request(host, path))
    answer = read_answer(tls)[0]
    return answer, world.decision(answer.get("belfry-reference"))


@pytest.mark.parametrize("client", [CLIENT, "2001:db8::77"])
def test_the_client_is_whom_the_balancer_announces(balanced, client):
    with announced_tls(balanced, header(client)) as tls:
        answer, event = asked(balanced, tls)
        assert answer.status == 200 and event["client.ip"] == client
        seen = balanced.origin.requests[-1]
        assert client in dict(seen.fields)["forwarded"]


@pytest.mark.parametrize("pieces", [(1,), (15, 16), (16,), (20, 27), tuple(range(1, 28))])
def test_an_announcement_may_come_in_pieces(balanced, pieces):
    with announced_tls(balanced, header(), pieces=pieces) as tls:
        answer, event = asked(balanced, tls)
        assert answer.status == 200 and event["client.ip"] == CLIENT


def test_an_announcement_and_the_first_bytes_of_tls_may_come_at_once(balanced):
    plain = socket.create_connection(("127.0.0.1", balanced.port), timeout=10)
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = balanced.context().wrap_bio(come, go, server_hostname=OPEN)
    first = header()
    with plain:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(first + go.read())
                first = b""
                come.write(plain.recv(65536))
        plain.sendall(go.read())
    assert tls.version()


def test_a_balancer_that_speaks_for_itself_is_served_as_itself(balanced):
    with announced_tls(balanced, SIGNATURE + b"\x20\0\0\0") as tls:
        assert asked(balanced, tls)[1]["client.ip"] == "127.0.0.1"


def test_the_port_that_a_client_used_at_the_balancer_is_one_of_ours(balanced):
    with announced_tls(balanced, header(port=10443)) as tls:
        assert asked(balanced, tls, host=f"{OPEN}:10443")[0].status == 200
        assert asked(balanced, tls, host=f"{OPEN}:10444")[0].problem == "host_unknown"


REFUSED = {
    "TLS at once": (b"\x16\x03\x01\x02\x00" + bytes(20), "no PROXY header of version 2 came first"),
    "version 1": (b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n", "no PROXY header of version 2 came first"),
    "UDP": (header()[:13] + b"\x12" + header()[14:], "the PROXY header is not of TCP over IPv4 or IPv6"),
    "a wrong sum": (header(fields=b"\x03\0\x04abcd"), "the PROXY header's checksum is wrong"),
    "an end in its midst": (header()[:20], "the balancer went away before it had announced a client"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_announcement_ends_the_connection_and_is_told(balanced, name):
    first, detail = REFUSED[name]
    told = len(refusals(balanced, detail))
    with socket.create_connection(("127.0.0.1", balanced.port), timeout=10) as plain:
        plain.sendall(first)
        if "end" in name:
            plain.shutdown(socket.SHUT_WR)
        assert ended(plain)
    until(lambda: len(refusals(balanced, detail)) == told + 1, "it is not in the audit")
    assert 'belfry_exchanges_total{reason="proxy_refused"} 0' not in balanced.admin("/metrics")[1]


def refusals(world, detail):
    return [e for e in world.events() if e["belfry.reason_code"] == "proxy_refused" and e["belfry.detail"] == detail]


def ended(plain):
    try:
        return plain.recv(1) == b""
    except ConnectionResetError:
        return True


def test_nobody_else_may_announce_or_even_connect(new_world):
    world = new_world(workers=1, begin=False)
    listen(world, "192.0.2.0/24", "2001:db8::/32")
    world.begin()
    with socket.create_connection(("127.0.0.1", world.port), timeout=10) as plain:
        assert ended(plain)
    detail = "the address is none of proxy_protocol_from"
    assert until(lambda: refusals(world, detail), "it is not in the audit")[0]["client.ip"] == "127.0.0.1"


def test_an_announcement_that_does_not_come_is_not_waited_for(new_world):
    world = new_world(workers=1, begin=False, extra_config="timeouts: { handshake: 1s }\n")
    listen(world, "127.0.0.0/8")
    world.begin()
    with socket.create_connection(("127.0.0.1", world.port), timeout=10) as plain:
        plain.sendall(header()[:17])
        assert ended(plain)
