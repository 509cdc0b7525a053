# SPDX-License-Identifier: EUPL-1.2
"""The rules once more, slow and obvious: nothing is indexed, remembered or stopped early, and nothing is shared with the
gateway's code. Reads the part of bundles, and of conditions, that test_decisions.py writes; says what `bench_judge` must say."""

import re
import urllib.parse

TOP_LEVEL = 2**63 - 1  # above every assurance level
LEVEL_MAX = 4096  # of those that are looked for

# --- documents: block maps and lists, and scalars on one line


def scalar(text):
    if text.startswith("["):
        return [scalar(item.strip()) for item in re.findall(r'"[^"]*"|\'(?:[^\']|\'\')*\'|[^,\[\]\s]+', text)]
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if text.startswith('"'):
        return text[1:-1]
    return {} if text == "{}" else text


def read(text):
    """The document as dicts, lists and texts."""
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.split("\n") if line.strip()]
    at = 0

    def block(indent):
        nonlocal at
        return items(indent) if lines[at][1].startswith("- ") else entries(indent)

    def items(indent):
        nonlocal at
        out = []
        while at < len(lines) and lines[at][0] == indent and lines[at][1].startswith("- "):
            lines[at] = (indent + 2, lines[at][1][2:])
            out.append(entries(indent + 2))
        return out

    def entries(indent):
        nonlocal at
        out = {}
        while at < len(lines) and lines[at][0] == indent and not lines[at][1].startswith("- "):
            key, _, value = lines[at][1].partition(":")
            at += 1
            out[key] = scalar(value.strip()) if value.strip() else block(lines[at][0])
        return out

    return entries(0)


# --- conditions


class Wrong:
    """An error, and which parts of the facts it lacks as a whole."""

    def __init__(self, lacks=()):
        self.lacks = frozenset(lacks)


TOKEN = re.compile(r"\s*(?:(\d+)|'([^']*)'|([A-Za-z_]\w*)|(&&|\|\||[=!<>]=|[-<>!?:.,()\[\]]))")


def parse(text):
    """The condition as nested tuples."""
    tokens, at = [], 0
    while text[at:].strip():
        found = TOKEN.match(text, at)
        at = found.end()
        number, quoted, name, sign = found.groups()
        tokens.append(("n", int(number)) if number else ("t", quoted) if quoted is not None else ("w", name) if name
                      else ("s", sign))
    tokens.append(("end", None))
    place = 0

    def take(*signs):
        nonlocal place
        if tokens[place][0] in "sw" and tokens[place][1] in signs:
            place += 1
            return tokens[place - 1][1]
        return None

    def need(sign):
        assert take(sign), (text, sign, tokens[place])

    def ternary():
        test = either()
        if not take("?"):
            return test
        yes = ternary()
        need(":")
        return ("if", test, yes, ternary())

    def either():
        parts = [both()]
        while take("||"):
            parts.append(both())
        return parts[0] if len(parts) == 1 else ("or", parts)

    def both():
        parts = [relation()]
        while take("&&"):
            parts.append(relation())
        return parts[0] if len(parts) == 1 else ("and", parts)

    def relation():
        left = unary()
        sign = take("==", "!=", "<", "<=", ">", ">=", "in")
        return (sign, left, unary()) if sign else left

    def unary():
        return ("not", unary()) if take("!") else member()

    def member():
        left = primary()
        while take("."):
            kind, name = word()
            assert kind == "w"
            if not take("("):
                left = ("fact", left[1], name)
            elif name in ("exists", "all"):
                variable = word()[1]
                need(",")
                left = (name, left, variable, ternary())
                need(")")
            else:
                left = (name, left, ternary())
                need(")")
        return left

    def word():
        nonlocal place
        place += 1
        return tokens[place - 1]

    def primary():
        kind, value = word()
        if kind in "nt":
            return ("is", value)
        if value == "(":
            inner = ternary()
            need(")")
            return inner
        if value == "[":
            out = []
            while not take("]"):
                out.append(ternary())
                take(",")
            return ("list", out)
        if value in ("true", "false"):
            return ("is", value == "true")
        if value == "duration":
            need("(")
            seconds = int(word()[1].removesuffix("s"))
            need(")")
            return ("is", seconds)
        if value in ("has", "size"):
            need("(")
            inner = ternary()
            need(")")
            return (value, inner)
        return ("name", value)

    tree = ternary()
    assert tokens[place][0] == "end", (text, tokens[place])
    return tree


def absorb(outcomes, stop):
    """What decides does, whatever the others could not; else an error is an error."""
    outcomes = list(outcomes)
    if any(outcome is stop for outcome in outcomes):
        return stop
    errors = [outcome for outcome in outcomes if isinstance(outcome, Wrong)]
    return Wrong(frozenset().union(*(error.lacks for error in errors))) if errors else not stop


def value(tree, facts, names=()):
    """A value, or Wrong."""
    op = tree[0]
    names = dict(names)
    if op == "is":
        return tree[1]
    if op == "name":
        return names[tree[1]]
    if op in ("fact", "has"):
        _, root, name = tree if op == "fact" else tree[1]
        part = facts[root]
        if part is None:  # who signs in has a session; whose token it is has none
            return Wrong([root] if root != "session" or facts["user"] else ["user"])
        found = part.get(name, 0 if name == "acr_level" else [] if name.endswith("s") else "")
        is_there = found != ""
        return is_there if op == "has" else found if is_there else Wrong()
    if op == "and":
        return absorb((value(part, facts, names) for part in tree[1]), False)
    if op == "or":
        return absorb((value(part, facts, names) for part in tree[1]), True)
    if op in ("exists", "all"):
        items = value(tree[1], facts, names)
        if isinstance(items, Wrong):
            return items
        return absorb((value(tree[3], facts, {**names, tree[2]: item}) for item in items), op == "exists")
    if op == "if":
        test = value(tree[1], facts, names)
        return test if isinstance(test, Wrong) else value(tree[2 if test else 3], facts, names)
    parts = [value(part, facts, names) for part in (tree[1] if op == "list" else tree[1:])]
    errors = [part for part in parts if isinstance(part, Wrong)]
    if errors:
        return Wrong(frozenset().union(*(error.lacks for error in errors)))
    return {"list": lambda: parts, "not": lambda: not parts[0], "size": lambda: len(parts[0]),
            "==": lambda: parts[0] == parts[1], "!=": lambda: parts[0] != parts[1], "<": lambda: parts[0] < parts[1],
            "<=": lambda: parts[0] <= parts[1], ">": lambda: parts[0] > parts[1], ">=": lambda: parts[0] >= parts[1],
            "in": lambda: parts[0] in parts[1], "startsWith": lambda: parts[0].startswith(parts[1]),
            "endsWith": lambda: parts[0].endswith(parts[1]), "contains": lambda: parts[1] in parts[0]}[op]()


# --- paths


def fold(text):
    """Letters of ASCII and Latin-1."""
    return "".join(c.lower() if c.isascii() or ("\xc0" <= c <= "\xde" and c != "\xd7") else c for c in text)


def segments_of(path):
    return [urllib.parse.unquote(part, errors="strict") for part in path[1:].split("/")] if path != "/" else []


def without_parameters(segments):
    return [segment.split(";")[0] for segment in segments]


def split_again(segments):
    """As an application reads it that decodes before it splits, or that merges slashes."""
    parts = "/".join(segments).split("/") if segments else []
    return [part for i, part in enumerate(parts) if part or i == len(parts) - 1]


def segment_matches(pattern, segment, folded):
    if pattern == "*" or pattern.startswith("{"):
        return segment != ""
    if folded:
        pattern, segment = fold(pattern), fold(segment)
    head, star, tail = pattern.partition("*")
    if star:
        return len(segment) >= len(head) + len(tail) and segment.startswith(head) and segment.endswith(tail)
    return segment == pattern


def matches(pattern, segments, folded):
    wanted = pattern[1:].split("/") if pattern != "/" else []
    if wanted and wanted[-1] == "**":
        wanted, segments = wanted[:-1], segments[:len(wanted) - 1]
    return len(wanted) == len(segments) and all(segment_matches(*pair, folded) for pair in zip(wanted, segments))


def named(pattern, segments):
    """What a pattern that matches calls the segments."""
    return {part[1:-1]: segment for part, segment in zip(pattern[1:].split("/"), segments) if part.startswith("{")}


# --- rules


class Rule:
    def __init__(self, entry, effect=None):
        what = entry["permit"] if "permit" in entry else entry["forbid"]
        self.id = entry["id"]
        self.effect = effect or ("permit" if "permit" in entry else "forbid")
        self.methods = what.get("methods")
        self.paths = what.get("paths")
        self.when = parse(entry["when"]) if "when" in entry else ("is", True)
        self.names_segments = "path." in entry.get("when", "").replace("request.path.", "")
        self.levels = [int(number) for number in re.findall(r"\d+", entry.get("when", ""))]
        self.is_shadow = entry.get("mode") == "shadow"
        self.steps_up = entry.get("remedy") == "step_up"
        expires = entry.get("expires")  # within the first minutes of 1970: what the tests write
        self.expires = int(expires[14:16]) * 60 + int(expires[17:19]) if expires else None

    @staticmethod
    def readings(app, effect, path):
        """The ways in which an application may read the path, that count for the effect."""
        options = app.get("paths", {})
        readings = [segments_of(path)]
        if effect == "forbid" and (options.get("encoded_slash") or options.get("empty_segments")):
            readings.append(split_again(readings[0]))
        return readings + [without_parameters(reading) for reading in readings]

    def fits(self, app, request):
        if self.expires is not None and request["now"] >= self.expires:
            return False
        if self.methods is not None and request["method"] not in self.methods:
            return False
        folded = app.get("paths", {}).get("case") == "fold"
        fitting = [self.paths is None or any(matches(pattern, reading, folded) for pattern in self.paths)
                   for reading in self.readings(app, self.effect, request["path"])]
        return all(fitting) if self.effect == "permit" else any(fitting)

    def asked(self, facts):
        """Where the condition names segments, once for each pattern that matches: in each reading for a permit (it sees
        parameters or not), in any for a forbid."""
        if not self.names_segments:
            return value(self.when, facts)
        app, path = facts["asked"]
        folded = app.get("paths", {}).get("case") == "fold"
        answers = [absorb([value(self.when, {**facts, "path": named(pattern, reading)}) for pattern in self.paths
                           if matches(pattern, reading, folded)], True)
                   for reading in self.readings(app, self.effect, path)]
        return absorb(answers, self.effect != "permit")

    def at_level(self, facts, level):
        return self.asked({**facts, "user": {**facts["user"], "acr_level": level}})

    def could_step_up(self, facts):
        return self.steps_up and facts["user"] is not None and self.at_level(facts, TOP_LEVEL) is True

    def level_needed(self, facts):
        now = facts["user"].get("acr_level", 0)
        levels = sorted({level + more for level in self.levels for more in (0, 1) if now < level + more <= LEVEL_MAX})
        return next((level for level in levels if self.at_level(facts, level) is True), 0)


class Policy:
    def __init__(self, bundle, baseline=None):
        self.app = read(bundle)["applications"][0]
        self.rules = [Rule(entry) for entry in self.app["rules"]]
        entries = read(baseline)["applications"][0]["rules"] if baseline else []
        self.baseline = [Rule(entry, "require") for entry in entries if "permit" in entry]
        self.baseline += [Rule(entry) for entry in entries if "forbid" in entry]

    def judge(self, request):
        facts = {"user": request["user"], "device": request["device"], "service": request["service"],
                 "session": request["session"],
                 "request": {"method": request["method"], "path": "/" + "/".join(segments_of(request["path"]))},
                 "asked": (self.app, request["path"])}
        fitting = [rule for rule in self.baseline + self.rules if rule.fits(self.app, request)]
        counted = [rule for rule in fitting if not rule.is_shadow]
        said = self.conclude(counted, facts)
        would = self.conclude(fitting, facts)
        differs = would["permit"] != said["permit"]
        return {**said, "shadow": would["by"].id if differs else "", "rule": said["by"].id if said["by"] else "",
                "baseline": said["by"] in self.baseline, "by": None}

    @staticmethod
    def conclude(rules, facts):
        firm, no_user, no_device, raised, permits = [], [], [], [], []
        for rule in rules:
            outcome = rule.asked(facts)
            if rule.effect == "permit":
                permits.append((rule, outcome))
                continue
            if outcome is (rule.effect == "require"):
                continue  # it holds its peace
            lacks = outcome.lacks if isinstance(outcome, Wrong) else ()
            lists = {"user": no_user, "device": no_device}
            kind = next((kind for kind in ("user", "device") if kind in lacks), None)
            if kind:
                lists[kind].append(rule)
            elif rule.effect == "require" and rule.could_step_up(facts):
                raised.append(rule)
            else:
                firm.append(rule)
        holding = [rule for rule, outcome in permits if outcome is True]
        lacking = {root: [rule for rule, outcome in permits if isinstance(outcome, Wrong) and root in outcome.lacks]
                   for root in ("user", "device")}

        def says(reason, rules, level=0):
            return {"permit": reason == "permitted", "reason": reason, "by": rules[0] if rules else None, "level": level}

        if firm:
            return says("forbidden", firm)
        if holding and not (no_user or no_device or raised):
            return says("permitted", holding)
        if (no_user or no_device) and not (holding or lacking["user"] or lacking["device"]):
            return says("forbidden", [rule for rule in rules if rule in no_user + no_device])
        if no_user or (not holding and lacking["user"]):
            return says("identity_required", no_user or lacking["user"])
        if no_device or (not holding and lacking["device"]):
            return says("device_required", no_device or lacking["device"])
        stepping = [rule for rule, _ in permits if rule.could_step_up(facts)]
        needed = [rule.level_needed(facts) for rule in raised]
        if holding:
            return says("assurance_too_low", raised, max(needed))
        if stepping:
            return says("assurance_too_low", stepping, max(needed + [stepping[0].level_needed(facts)]))
        return says("denied", [rule for rule, _ in permits])
