# SPDX-License-Identifier: EUPL-1.2
"""The rules of the house that a compiler does not check: who may include whom, and a licence in each file.

    cli ──► proxy ──► auth ──► policy ──► base
      │       │         │        │
      └───────┴► audit ─┴────────┴──────► base

`find_faults(root)` reads the tree below `root`; each fault is one line, `file:line: what`.
"""

import pathlib
import re

ROOMS = ("audit", "auth", "base", "cli", "policy", "proxy")
NOUNS = "belfry"  # include/belfry/: the nouns that travel
MAY_INCLUDE = {
    "base": {"base"},
    "audit": {"audit", "base"},
    "policy": {"policy", "base"},
    "auth": {"auth", "policy", "base"},
    "proxy": {"proxy", "auth", "policy", "audit", "base"},
    "cli": {"cli", "proxy", "auth", "policy", "audit", "base"},
    NOUNS: set(),
}
# What policy/ knows nothing of. policy/store* is a module beside it, and may.
POLICY_NEVER = re.compile(r"openssl/(ssl|tls1|bio|ocsp)\.h$|(hiredis|nghttp2|curl)/|ev\.h$|hiredis\.h$|jwt\.h$"
                          r"|sys/(socket|un|epoll)\.h$|netdb\.h$|arpa/|base/(redis|loop|fetch|mailbox)\.h$")
LICENSED = {".c", ".h", ".def", ".py", ".js", ".cmake", ".sh", ".yaml", ".html", ".service"}
LICENCE = "SPDX-License-Identifier: EUPL-1.2"
SKIPPED = {".git", ".cache", "build", "node_modules", "__pycache__", "corpus", "data"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]')


def files(root):
    for path in sorted(root.rglob("*")):
        if path.is_file() and not SKIPPED.intersection(path.relative_to(root).parts):
            yield path


def includes(path):
    """(line number, '<' or '"', name) of each #include."""
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match[1], match[2]


def is_store(path, room):
    return room == "policy" and path.name.startswith("store")


def judge(path, room, mark, name, root):
    """What is wrong with one include, or None."""
    target = name.split("/")[0]
    if room == "policy" and not is_store(path, room) and POLICY_NEVER.search(name):
        return f"policy/ knows nothing of {name}"
    if mark == "<":
        return f"<{name}> is ours: write \"{name}\"" if target in ROOMS else None
    if "/" not in name:
        return f'"{name}": a path from the top, as in "{room}/{name}"' if (path.parent / name).exists() else None
    if target == NOUNS:
        return None if (root / "include" / name).exists() else f"there is no include/{name}"
    if target not in ROOMS:
        return f'"{name}" is in no room'
    if target not in MAY_INCLUDE[room]:
        return f"{room}/ may not include {name}: the arrows run the other way"
    if name.endswith("_in.h") and target != room:
        return f"{name} is {target}/'s own"
    if name.startswith("policy/store") and room == "policy" and not is_store(path, room):
        return f"{name}: policy/ does not know its store"
    return None


def find_faults(root):
    root = pathlib.Path(root)
    faults = []
    for path in files(root):
        place = path.relative_to(root)
        is_script = path.suffix == "" and path.read_bytes()[:2] == b"#!"
        if (path.suffix in LICENSED or is_script) and LICENCE not in path.read_text(errors="replace")[:400]:
            faults.append(f"{place}:1: no line '{LICENCE}'")
        if path.suffix not in {".c", ".h", ".def"}:
            continue
        room = place.parts[1] if place.parts[0] == "include" else place.parts[0]
        if place.parts[0] == "include" and (room != NOUNS or path.suffix == ".c"):
            faults.append(f"{place}:1: include/ holds nothing but belfry/'s nouns")
        if room not in MAY_INCLUDE:
            continue
        for number, mark, name in includes(path):
            if fault := judge(path, room, mark, name, root):
                faults.append(f"{place}:{number}: {fault}")
    return faults
