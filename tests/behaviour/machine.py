# SPDX-License-Identifier: EUPL-1.2
"""A machine of its own with a real systemd as its first process, in namespaces on this machine's own files: what it
writes stays in memory and ends with it. Its network is ours."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from scenery import LIBC, PR_SET_PDEATHSIG
from world import until

SYSTEMD = "/lib/systemd/systemd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# In the new namespaces: a root of their own, then systemd. None of this machine's own services are started, and what
# is not of the namespaces (/proc/sys) can only be read.
BEGIN = r"""
root=$1
mount -t tmpfs -o mode=755 none "$root"
mkdir "$root/upper" "$root/work" "$root/all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" "$root/all"
cd "$root/all"
rm -rf etc/systemd/system/*.wants
mount -t proc proc proc
mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid tmpfs dev
for node in null zero full random urandom tty; do : >"dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir -p srv/world
mount --bind "$2" srv/world
mount -o remount,bind,ro srv/world
mkdir run/before
pivot_root . run/before
cd /
umount -l /run/before
exec env -i container=other "$SYSTEMD" --system --unit=basic.target --log-target=journal --show-status=0
"""


class NoMachine(Exception):
    """Why there can be none here."""


class Machine:
    """`folder`: one of ours that it can read, as /srv/world: what a service sees of /tmp is its own."""

    def __init__(self, folder):
        if os.geteuid() != 0:
            raise NoMachine("only root can make namespaces")
        if not os.path.exists(SYSTEMD):
            raise NoMachine(f"there is no {SYSTEMD}")
        mounted = re.search(r"(?m)^\S+ (\S+) cgroup2 ", pathlib.Path("/proc/self/mounts").read_text())
        if not mounted:
            raise NoMachine("no control groups of version 2 are mounted")
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="belfry-machine-"))
        self.group = pathlib.Path(mounted[1], self.home.name)
        self.said = tempfile.TemporaryFile("w+")
        try:
            self.group.mkdir()
        except OSError as error:
            self.home.rmdir()
            raise NoMachine(f"no control group can be made: {error}") from error
        self.process = self._begin(folder)
        try:
            until(lambda: self.process.poll() is not None or self.command("is-system-running")[1].strip() in ("running", "degraded"),
                  "systemd does not come up", 60)
        except BaseException:
            self.end()
            raise
        if self.process.poll() is not None:
            self.said.seek(0)
            why = self.said.read().strip()
            self.end()
            raise NoMachine(f"no namespaces, or not all of them, can be made: {why}")

    def _begin(self, folder):
        def within():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            (self.group / "cgroup.procs").write_text("0")

        return subprocess.Popen(
            ["unshare", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--fork", "--kill-child", "--propagation", "private",
             "sh", "-eu", "-c", BEGIN, "sh", str(self.home), str(folder)],
            stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said, start_new_session=True, preexec_fn=within,
            env={"PATH": PATH, "SYSTEMD": SYSTEMD})

    @property
    def first(self):
        """Its process 1, as we know it."""
        return subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True).stdout.strip()

    def run(self, *words, text=None):
        """(exit code, what it said) of a command in the machine."""
        done = subprocess.run(
            ["nsenter", "-t", self.first or "0", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wdns=/", "env", "-i",
             f"PATH={PATH}", "HOME=/root", "TERM=dumb", *map(str, words)],
            stdin=None if text is not None else subprocess.DEVNULL, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def shell(self, script):
        """What that script of the machine's shell said; it must go well."""
        code, said = self.run("bash", "-eu", text=script)
        assert code == 0, said
        return said

    def command(self, *words):
        """(exit code, what it said) of systemctl."""
        return self.run("systemctl", "--no-pager", *words)

    def show(self, unit, name):
        return self.command("show", unit, "--property", name, "--value")[1].strip()

    def path(self, path):
        """A file of the machine, as we reach it."""
        return pathlib.Path(f"/proc/{self.first}/root{path}")

    def end(self):
        if self.first:
            os.kill(int(self.first), signal.SIGKILL)  # and with it all that is in there
        self.process.wait(30)
        self.said.close()
        for group, _, _ in os.walk(self.group, topdown=False):
            until(lambda group=group: is_removed(group), f"{group} is not empty")
        shutil.rmtree(self.home)


def is_removed(group):
    try:
        os.rmdir(group)
    except OSError:
        return False
    return True
