# SPDX-License-Identifier: EUPL-1.2
"""What `./dev demo` tells is so, and it leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys

import pytest

from chromium import DRIVER, may_choose_by_itself
from world import BELFRY, ROOT, until


def start(*options):
    """The demo, where no window can be."""
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.Popen(  # what a shell starts in the background ignores Ctrl-C, and so would its children
        [sys.executable, ROOT / "demo/story", "--belfry", BELFRY, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=env, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def children(pid):
    return subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()


def test_all_is_as_the_demo_expects_and_nothing_stays():
    demo = start()
    told = []
    for line in demo.stdout:
        told.append(line)
        if "Ctrl-C ends everything" in line:
            break
    parts = children(demo.pid)
    demo.send_signal(signal.SIGINT)
    told.append(demo.communicate(timeout=120)[0])
    text = "".join(told)
    assert demo.returncode == 0 and re.search(r"\d\d as expected, 0 not", text), text
    for title in ("In a browser", "Who is let in", "A rule changes", "Two people stand", "Who would take", "The store away"):
        assert title in text, text
    assert len(parts) == 7, parts  # Redis, two providers, three applications, the gateway
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in parts), "every process has ended")
    folder = re.search(r"are in (\S+)\. Ctrl-C", text)[1]
    assert not os.path.exists(folder)


@pytest.mark.long
@pytest.mark.skipif(not DRIVER.exists() or not may_choose_by_itself(), reason="no Chromium here that can be told what to choose")
def test_the_pages_of_the_demo_are_painted():
    demo = start("--once", "--browser")
    text = demo.communicate(timeout=120)[0]
    assert demo.returncode == 0 and "0 not" in text, text
    assert len(list((ROOT / "build/demo").glob("[0-9][0-9]-*.png"))) == 30
