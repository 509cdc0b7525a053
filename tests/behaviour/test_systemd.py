# SPDX-License-Identifier: EUPL-1.2
"""The units under a real systemd: installed by `cmake --install`, started, reloaded, restarted, stopped and crashed as
an operator and bad luck do it."""

import json
import os
import pathlib
import re
import subprocess

import pytest

from callers import read_answer
from machine import Machine, NoMachine
from test_failures import OPEN, certificate_number, is_let_in, raw_request, renew
from test_process import visit_through_restarts
from world import BELFRY, World, until

pytestmark = pytest.mark.long
UNITS = ("belfry.socket", "belfry.service")


class Managed(World):
    """A world whose gateway is a service of a machine."""

    def begin(self, gateway=True):
        super().begin(gateway=False)
        os.chmod(self.folder, 0o711)
        os.chmod(self.redis_socket, 0o777)
        self.machine = Machine(self.folder)
        self.install()
        return self

    def __exit__(self, *what):
        if hasattr(self, "machine"):
            self.log("gateway").write_text(self.journal())
            self.machine.end()
        super().__exit__(*what)

    def install(self):
        """As docs/operations.md says."""
        subprocess.run(["cmake", "--install", pathlib.Path(self.belfry).parent, "--prefix", "/usr"], check=True,
                       capture_output=True, env={**os.environ, "DESTDIR": str(self.folder / "installed")})
        self.machine.shell(f"""
            cp -r /srv/world/installed/usr /
            systemd-sysusers
            systemd-tmpfiles --create
            systemctl daemon-reload
            cp -r /srv/world/pki/certificates/* /etc/belfry/certificates
            cp -r /srv/world/keys/gateway/* /etc/belfry/keys
            cp -r /srv/world/secrets/* /etc/belfry/secrets
            install -m 644 /srv/world/pki/trust.pem /etc/belfry/providers-ca.pem
            chown -R belfry: /etc/belfry/certificates /etc/belfry/keys /etc/belfry/secrets
            mkdir -p /etc/systemd/system/belfry.socket.d
            echo '[Socket]
ListenStream=
ListenStream=127.0.0.1:{self.port}
ListenStream=127.0.0.1:{self.port}' >/etc/systemd/system/belfry.socket.d/addresses.conf
            systemctl daemon-reload
            """)
        self.configure(self.config.read_text())
        self.audit = self.machine.path("/var/log/belfry/audit.jsonl")

    def configure(self, text):
        for ours, theirs in ((f"{self.folder}/state", "/var/lib/belfry"), (f"{self.pki}/certificates", "/etc/belfry/certificates"),
                             (f"{self.folder}/keys/gateway", "/etc/belfry/keys"), (f"{self.folder}/secrets", "/etc/belfry/secrets"),
                             (f"{self.folder}/audit.jsonl", "/var/log/belfry/audit.jsonl"), (str(self.trust), "/etc/belfry/providers-ca.pem"),
                             (str(self.folder), "/srv/world")):
            text = text.replace(ours, theirs)
        code, said = self.machine.run("install", "-m", "640", "-g", "belfry", "/dev/stdin", "/etc/belfry/belfry.yaml", text=text)
        assert code == 0, said

    def start(self):
        code, said = self.machine.command("start", *UNITS)
        assert code == 0, said + self.journal()
        self.is_ready()

    def is_ready(self):
        return until(lambda: self.admin("/readyz")[0] == 200, "/readyz is not 200", 30)

    def journal(self, *words):
        return self.machine.run("journalctl", "--no-pager", "-o", "cat", "-u", "belfry", *words)[1]

    def status(self, name):
        number = self.machine.show("belfry", "MainPID")
        return re.search(rf"(?m)^{name}:\s+(.*)$", self.machine.path(f"/proc/{number}/status").read_text())[1]

    def says(self, text, since="", limit_s=10):
        """Waits until the journal has it, behind what it had said before."""
        return until(lambda: text in self.journal()[len(since):], f"the journal does not say '{text}'", limit_s)


@pytest.fixture(scope="module")
def managed():
    if b"__asan_init" in BELFRY.read_bytes():
        pytest.skip("a sanitizer wants of the system what the unit does not give")
    world = Managed(workers=2)
    try:
        with world:
            yield world.begin()
    except NoMachine as why:
        pytest.skip(f"no machine for systemd here: {why}")


@pytest.fixture
def service(managed):
    """It serves, whatever the test before has left."""
    managed.origin.clear()
    managed.configure(managed.config.read_text())
    managed.start()
    return managed


def test_installed_as_the_page_says_it_starts_with_its_sockets_and_serves(service):
    assert is_let_in(service)
    assert [service.machine.show(unit, "ActiveState") for unit in UNITS] == ["active", "active"]
    assert service.machine.show("belfry", "StatusText").startswith("snapshot ")
    assert service.machine.shell("runuser -u belfry -- belfry check").endswith("fine\n")


def test_what_the_unit_takes_away_is_gone(service):
    assert service.status("NoNewPrivs") == "1"
    assert {int(service.status(name), 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert int(service.status("CapBnd"), 16) == 1 << 10  # CAP_NET_BIND_SERVICE
    assert service.status("Seccomp") == "2" and int(service.status("VmLck").split()[0]) >= 4096
    assert "sandbox: closed" in service.journal()
    limits = service.machine.path(f"/proc/{service.machine.show('belfry', 'MainPID')}/limits").read_text()
    assert re.search(r"(?m)^Max core file size\s+0\s+0\s", limits)
    said = service.machine.run("systemd-analyze", "security", "--no-pager", "belfry.service")[1]
    assert float(re.search(r"Overall exposure level for belfry.service: ([\d.]+)", said)[1]) <= 2.0, said


def test_within_the_unit_only_its_own_folders_can_be_written(service):
    unit = service.machine.path("/lib/systemd/system/belfry.service").read_text()
    unit = re.sub(r"(?m)^(Type|NotifyAccess|Restart|RestartSec|ExecReload)=.*\n", "", unit)
    unit = re.sub(r"(?m)^ExecStart=.*$", "Type=oneshot\nExecStart=/bin/sh /etc/probe", unit)
    places = ("/", "/etc/belfry", "/etc/belfry/keys", "/usr/bin", "/var/lib", "/run", "/root", "/home", "/sys/fs/cgroup",
              "/var/lib/belfry", "/var/log/belfry")
    service.machine.path("/run/systemd/system/probe.service").write_text(unit)
    service.machine.path("/etc/probe").write_text(
        "".join(f'touch {place}/probe 2>/dev/null && echo "can {place}"\n' for place in places) +
        'cat /proc/1/cmdline 2>/dev/null && echo "can see others"\n'
        'mount -t tmpfs none /tmp 2>/dev/null && echo "can mount"\n'
        'unshare --user true 2>/dev/null && echo "can have namespaces"\nexit 0\n')
    assert service.machine.run("systemctl", "daemon-reload")[0] == 0
    assert service.machine.run("systemctl", "start", "probe")[0] == 0
    said = service.machine.run("journalctl", "--no-pager", "-o", "cat", "-u", "probe")[1]
    assert re.findall(r"(?m)^can .*$", said) == ["can /var/lib/belfry", "can /var/log/belfry"], said


def test_the_journal_has_one_entry_an_event_with_its_level(service):
    lines = service.machine.run("journalctl", "--no-pager", "-o", "json", "-u", "belfry", "_COMM=belfry")[1].splitlines()
    said = {entry["MESSAGE"]: entry["PRIORITY"] for entry in map(json.loads, lines)}
    assert [text for text in said if re.match(r"<\d>|\d{4}-", text)] == []  # neither the mark nor the time
    levels = {re.match(r"[\w ]*", text)[0]: level for text, level in said.items()}
    assert next(level for text, level in said.items() if text.startswith("control: no serials are remembered")) == "4", levels
    assert next(level for text, level in said.items() if text.startswith("control: ready on")) == "5", levels
    assert next(level for text, level in said.items() if text.startswith("control: snapshot")) == "6", levels


def test_a_reload_takes_over_what_is_good_and_fails_where_the_file_is_not(service):
    before, reloads = service.journal(), service.metric("belfry_reloads_total")
    with service.tls(OPEN) as tls:
        old = certificate_number(tls)
    renew(service, OPEN)
    service.machine.shell(f"""
        cp /srv/world/pki/certificates/{OPEN}/*.pem /etc/belfry/certificates/{OPEN}/
        chown -R belfry: /etc/belfry/certificates
        systemctl reload belfry
        """)
    until(lambda: service.metric("belfry_reloads_total") == reloads + 1, "it is not taken over")
    with service.tls(OPEN) as tls:
        assert certificate_number(tls) != old
    service.configure(service.config.read_text() + "nonsense: true\n")
    code, _ = service.machine.command("reload", "belfry")
    assert code != 0 and "'nonsense'" in service.journal()[len(before):]
    assert "'nonsense'" in service.journal("-p", "err")
    service.configure(service.config.read_text())
    assert service.machine.show("belfry", "ActiveState") == "active" and is_let_in(service)
    assert service.metric("belfry_reloads_total") == reloads + 1


def test_no_attempt_to_connect_is_refused_while_it_is_restarted(service):
    def restart():
        assert service.machine.command("restart", "belfry")[0] == 0

    visit_through_restarts(service, restart, 5, limit_s=30)


def hear(tls):
    more = tls.recv(65536)
    assert more, "the answer was cut"
    return more


def test_a_stop_lets_requests_end_and_ends_well(service):
    with service.tls(OPEN) as tls:
        tls.sendall(raw_request(OPEN, "/ticks"))
        said = hear(tls)
        while b"data: " not in said:
            said += hear(tls)
        before = service.journal()
        code, words = service.machine.command("stop", "--no-block", *UNITS)
        assert code == 0, words
        service.says("going down", before)
        service.origin.release.set()
        while not said.endswith(b"\r\n0\r\n\r\n"):
            said += hear(tls)
    until(lambda: service.machine.show("belfry", "ActiveState") == "inactive", "it does not end", 30)
    assert service.machine.show("belfry", "Result") == "success"
    assert service.machine.show("belfry", "ExecMainStatus") == "0"


def test_after_crashes_it_comes_back_each_time_and_who_connects_meanwhile_waits(service):
    for _ in range(7):  # systemd's own patience would end at the sixth start within ten seconds
        number = service.machine.show("belfry", "MainPID")
        service.machine.run("kill", "-SEGV", number)
        until(lambda: not service.machine.path(f"/proc/{number}").exists(), "it does not end")
        with service.tls(OPEN) as tls:
            tls.sendall(raw_request(OPEN, "/1"))
            assert read_answer(tls)[0].status == 200
        assert service.machine.show("belfry", "MainPID") not in ("0", number)
    said = service.journal()
    assert said.count("code=killed, status=11/SEGV") == 7 and "code=dumped" not in said, said


def test_a_disk_that_takes_nothing_is_said_and_once_it_does_the_gateway_starts_by_itself(service):
    before = service.journal()
    assert service.machine.command("stop", *UNITS)[0] == 0
    service.machine.shell("""
        mount -t tmpfs -o size=4k none /var/lib/belfry
        chown belfry: /var/lib/belfry && chmod 700 /var/lib/belfry
        yes | head -c 4096 >/var/lib/belfry/full
        """)
    try:
        assert service.machine.command("start", "belfry.service")[0] != 0
        assert "No space left on device" in service.journal("-p", "err")[-2000:], service.journal()[len(before):]
    finally:
        service.machine.shell("umount -l /var/lib/belfry")
    service.is_ready()
    assert service.machine.command("stop", "belfry.service")[0] == 0


def test_it_starts_before_its_store_and_with_a_host_that_has_no_certificate(service):
    assert service.machine.command("stop", *UNITS)[0] == 0
    service.stop("redis")
    service.machine.shell("rm /etc/belfry/certificates/twin.finance.localhost/fullchain.pem")
    service.start()
    assert is_let_in(service) and service.metric("belfry_store_connected") == 0
    service.start_redis()
    service.wait_redis()
    os.chmod(service.redis_socket, 0o777)
    until(lambda: service.metric("belfry_store_connected") == 1, "the store is not found", 30)
