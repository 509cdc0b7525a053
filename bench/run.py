#!/usr/bin/python3
# SPDX-License-Identifier: EUPL-1.2
"""Belfry beside other gateways: what does a request cost each of them?

    bench/run.py [--quick] [--rounds N] [--milliseconds MS] [--targets A,B] [--scenarios A,B] [--out FOLDER]

Each target is first shown to refuse what it must; who does not is left out, and that is said. Then they are driven in
turn, round by round: the target on one core, generator and application on another. The figure is CPU of all the target's
threads a request, read from the scheduler between the moment when the connections stand and the last answer: the median
of the rounds, with the least and the most. Absolute times move with the machine, so compare within one run. The table goes
to the terminal and to FOLDER/result.md, a plot to result.svg, all figures to result.json (default folder: build/bench)."""

import argparse
import dataclasses
import html
import json
import os
import pathlib
import platform
import resource
import signal
import statistics
import sys
import time

import peers
from peers import PEERS, ROOT, Load, Scenery



@dataclasses.dataclass
class Scenario:
    name: str
    title: str
    arguments: list
    tokens: str = "good"  # another one in each request, if not that: for those that look at tokens
    is_rated: bool = False  # at a rate that all can keep up with

    @property
    def is_cold(self):
        return self.tokens != "good"


SCENARIOS = [Scenario(*row) for row in [
    ("h2", "1 KiB, HTTP/2, 10 connections × 10 streams", ["--connections", 10, "--streams", 10, "--path", "/b/1024"]),
    ("h2-indexed", "1 KiB, HTTP/2, the token in the HPACK table",
     ["--connections", 10, "--streams", 10, "--path", "/b/1024", "--token-indexed"]),
    ("h2-minted", "1 KiB, HTTP/2, another token of one person in each request",
     ["--connections", 10, "--streams", 10, "--path", "/b/1024"], "minted"),
    ("h2-cold", "1 KiB, HTTP/2, another token of another person in each request",
     ["--connections", 10, "--streams", 10, "--path", "/b/1024"], "cold"),
    ("h1", "1 KiB, HTTP/1.1 kept alive, 20 connections", ["--h1", "--connections", 20, "--path", "/b/1024"]),
    ("100k", "100 KiB down, HTTP/2, 4 × 4", ["--connections", 4, "--streams", 4, "--path", "/b/102400"]),
    ("1m", "1 MiB down, HTTP/2, 4 × 4", ["--connections", 4, "--streams", 4, "--path", "/b/1048576"]),
    ("upload", "100 KiB up, HTTP/2, 4 × 4", ["--connections", 4, "--streams", 4, "--path", "/b/0", "--upload", 102400]),
    ("full", "full handshake and one request", ["--each", "--connections", 8, "--path", "/b/0"]),
    ("resumed", "resumed handshake and one request", ["--each", "--resumed", "--connections", 8, "--path", "/b/0"]),
    ("echo", "WebSocket message of 64 bytes, there and back", ["--websocket", "--connections", 20, "--path", "/b/echo"]),
    ("rate", "1 KiB at a fixed rate, HTTP/2, 20 connections",
     ["--connections", 20, "--streams", 20, "--path", "/b/1024"], "good", True),
]]


def say(text):
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


class Run:
    def __init__(self, options):
        self.options = options
        self.cold_count = 200 if options.quick else 2500
        self.idle_count = 100 if options.quick else 1000
        self.rate = 0
        self.targets = []
        self.notes = []
        self.figures = {}  # scenario: {target: [a round's]}
        self.idle = {}
        self.versions = {}

    def begin(self, scenery):
        for name in self.options.targets:
            target = PEERS[name](scenery)
            self.targets.append(target)
            say(f"starting {name}")
            try:
                wrong = target.begin().faults()
            except (RuntimeError, OSError) as error:
                wrong = [str(error)]
            if wrong:
                self.give_up(target, "; ".join(wrong))
            else:
                self.versions[name] = target.version()

    def give_up(self, target, why):
        self.notes.append(f"{target.title}: not measured: {why}")
        self.targets.remove(target)
        target.close()

    def measure_idle(self):
        """Before anything else: what a target has grown under load would count as nothing."""
        for target in list(self.targets):
            say(f"idle {target.name}")
            try:
                self.stand_idle(target)
            except (OSError, RuntimeError, ValueError) as error:
                self.give_up(target, f"idle: {error}")

    def stand_idle(self, target):
        before = target.rss_kib()
        with Load(target, ["--connections", self.idle_count, "--requests", self.idle_count, "--rate", 1000,
                           "--path", "/b/1024", "--milliseconds", 10000]) as load:
            said = load.go()
            time.sleep(1)  # a quiet connection gives back its buffers
            self.idle[target.name] = (target.rss_kib() - before) / max(said["standing"], 1)
        if said["standing"] != self.idle_count:
            self.notes.append(f"{target.title}: {said['standing']} of {self.idle_count} idle connections stood: {said['why']}")
        target.between()

    def measure(self, target, scenario, milliseconds, turn):
        arguments = [*scenario.arguments, "--milliseconds", milliseconds]
        if scenario.is_rated:
            arguments += ["--rate", self.rate]
        if scenario.is_cold:  # each round on tokens that no round before has used
            arguments += ["--token-from", turn * self.cold_count, "--token-count", self.cold_count,
                          "--requests", self.cold_count, "--milliseconds", 10000]
        with Load(target, arguments, token=scenario.tokens) as load:
            before = target.cpu_us()
            said = load.go()
            said["cpu_us"] = (target.cpu_us() - before) / max(said["ok"], 1)
        target.between()
        return said

    def drive(self, scenario):
        rounds = self.figures[scenario.name] = {}
        targets = [t for t in self.targets if t.checks_tokens or not scenario.is_cold]
        for turn in range(self.options.rounds + 1):  # the first is to warm up
            for target in [t for t in targets if t in self.targets]:
                say(f"{scenario.name}: round {turn} of {self.options.rounds}: {target.name}")
                try:
                    said = self.measure(target, scenario, self.options.milliseconds // (1 if turn else 4), turn)
                except (OSError, RuntimeError, ValueError) as error:
                    self.give_up(target, f"{scenario.name}: {error}")
                    continue
                if said["failed"] or said["refusal"] or not said["ok"]:
                    self.notes.append(f"{target.title}, {scenario.name}: {said['ok']} good, {said['failed']} failed "
                                      f"({said['why'] or said['refusal']})")
                if turn and said["ok"]:
                    rounds.setdefault(target.name, []).append(said)

    def choose_rate(self):
        """Half of what the slowest can do."""
        speeds = [statistics.median(r["ok"] / r["seconds"] for r in rows) for rows in self.figures.get("h2", {}).values()]
        self.rate = max(100, int(min(speeds, default=4000) / 2))

    def go(self, scenery):
        self.begin(scenery)
        if "idle" in self.options.scenarios:
            self.measure_idle()
        for scenario in SCENARIOS:
            if scenario.name in self.options.scenarios:
                if scenario.is_rated:
                    self.choose_rate()
                self.drive(scenario)
        say("")

    def close(self):
        for target in self.targets:
            target.close()


def number(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}"


def spread(values):
    return statistics.median(values), min(values), max(values)


def cell(values):
    if not values:
        return ""
    median, least, most = spread(values)
    return f"{number(median)} ({number(least)}–{number(most)})"


def ratio(medians):
    """Belfry's beside the best of those with mTLS alone."""
    others = {name: m for name, m in medians.items() if name != "belfry" and not PEERS[name].checks_tokens}
    others = others or {name: m for name, m in medians.items() if name != "belfry"}
    if "belfry" not in medians or not others:
        return ""
    best = min(others, key=others.get)
    return f"{medians['belfry'] / others[best]:.2f} ({best})"


def row(words):
    return "| " + " | ".join(words) + " |"


def table(head, rows):
    return [row(head), row(["---"] * len(head)), *map(row, rows), ""]


def report(run):
    names = [t.name for t in run.targets]
    titles = [t.title for t in run.targets]
    versions = ", ".join(f"{name} {run.versions[name]}" for name in names)
    out = [f"{platform.machine()}, Linux {platform.release()}, {os.cpu_count()} cores; {versions}. "
           f"Rounds of {run.options.milliseconds} ms, interleaved: {run.options.rounds}; medians, least and most in brackets.", ""]
    rows = []
    for scenario in SCENARIOS:
        figures = run.figures.get(scenario.name, {})
        cpu = {name: [r["cpu_us"] for r in figures[name]] for name in names if name in figures}
        if cpu:
            rows.append([scenario.title + (f" ({run.rate}/s)" if scenario.is_rated else ""), *(cell(cpu.get(n)) for n in names),
                         ratio({n: statistics.median(v) for n, v in cpu.items()})])
    if rows:
        out += table(["CPU µs a request", *titles, "Belfry ÷ best with mTLS alone"], rows)
    rows = []
    for key, title in (("p50_us", "p50"), ("p99_us", "p99"), ("p999_us", "p99.9")):
        rated = {n: [r[key] for r in rows_] for n, rows_ in run.figures.get("rate", {}).items()}
        if rated:
            rows.append([f"latency, {title}, µs", *(cell(rated.get(n)) for n in names),
                         ratio({n: statistics.median(v) for n, v in rated.items()})])
    fast = {n: [r["ok"] / r["seconds"] / 1000 for r in figures] for n, figures in run.figures.get("h2", {}).items()}
    if fast:
        rows.append(["thousand requests/s, 1 KiB, HTTP/2", *(cell(fast.get(n)) for n in names), ""])
    if run.idle:
        rows.append([f"an idle HTTP/2 connection ({run.idle_count}), resident, KiB", *(number(run.idle[n]) for n in names),
                     ratio(run.idle)])
    if rows:
        out += table(["", *titles, "Belfry ÷ best with mTLS alone"], rows)
    out += [f"- {note}" for note in run.notes]
    return "\n".join(out).rstrip() + "\n"


BAR, GAP, LEFT, WIDTH = 16, 6, 170, 760


def panel(title, values, y):
    """One scenario: a bar a target, its spread as a line."""
    most = max(high for _, _, high in values.values())
    scale = (WIDTH - LEFT - 90) / most
    out = [f'<text x="10" y="{y + 14}" class="title">{html.escape(title)}</text>']
    y += 24
    for name, (median, least, high) in values.items():
        middle = y + BAR / 2
        out += [f'<text x="{LEFT - 8}" y="{y + 12}" class="name">{html.escape(PEERS[name].title)}</text>',
                f'<rect x="{LEFT}" y="{y}" width="{median * scale:.1f}" height="{BAR}" '
                f'class="{"ours" if name == "belfry" else "theirs"}"/>',
                f'<line x1="{LEFT + least * scale:.1f}" x2="{LEFT + high * scale:.1f}" y1="{middle}" y2="{middle}"/>',
                f'<text x="{LEFT + high * scale + 6:.1f}" y="{y + 12}">{number(median)}</text>']
        y += BAR + GAP
    return out, y + 14


def plot(run):
    panels = [(s.title + ": CPU µs a request", {n: spread([r["cpu_us"] for r in rows])
                                                for n, rows in run.figures.get(s.name, {}).items()}) for s in SCENARIOS]
    panels += [(f"latency at {run.rate} requests/s, p99: µs", {n: spread([r["p99_us"] for r in rows])
                                                               for n, rows in run.figures.get("rate", {}).items()}),
               ("an idle HTTP/2 connection: KiB", {n: (kib, kib, kib) for n, kib in run.idle.items()})]
    y, parts = 10, []
    for title, values in panels:
        if values and max(high for _, _, high in values.values()) > 0:
            more, y = panel(title, values, y)
            parts += more
    style = ("text{font:12px sans-serif;fill:#222}.title{font-weight:bold;font-size:13px}.name{text-anchor:end}"
             ".ours{fill:#1f5fa8}.theirs{fill:#b9c0c9}line{stroke:#222;stroke-width:1.5}")
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">',
                      f"<style>{style}</style>", '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>", ""])


def keep(run, folder):
    folder.mkdir(parents=True, exist_ok=True)
    text = report(run)
    (folder / "result.md").write_text(text)
    (folder / "result.svg").write_text(plot(run))
    (folder / "result.json").write_text(json.dumps({"versions": run.versions, "rate": run.rate, "idle_kib": run.idle,
                                                    "figures": run.figures, "notes": run.notes}, indent=1))
    print(text)


def words(text):
    return text.split(",")


def main():
    known = [s.name for s in SCENARIOS] + ["idle"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: does all of it work?")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--milliseconds", type=int, help="of a round")
    parser.add_argument("--targets", type=words, default=list(PEERS), help=",".join(PEERS))
    parser.add_argument("--scenarios", type=words, default=known, help=",".join(known))
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/bench")
    options = parser.parse_args()
    if strange := [n for n in options.targets if n not in PEERS] + [n for n in options.scenarios if n not in known]:
        parser.error(f"unknown: {', '.join(strange)}")
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.milliseconds = options.milliseconds or (150 if options.quick else 600)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, most) if most > 0 else 65536, most))
    run = Run(options)
    if peers.TARGET_CORE == peers.OTHER_CORE:
        run.notes.append("one core for all: the targets and the generator are in each other's way")
    is_cold = any(s.is_cold for s in SCENARIOS if s.name in options.scenarios)
    scenery = Scenery((options.rounds + 1) * run.cold_count if is_cold else 1)
    try:
        run.go(scenery)
        keep(run, options.out)
    finally:
        run.close()
        scenery.close()
    return 0 if run.targets else 1


if __name__ == "__main__":
    sys.exit(main())
