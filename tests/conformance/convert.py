#!/usr/bin/python3
# SPDX-License-Identifier: EUPL-1.2
"""convert.py CEL-SPEC: the published conformance cases of CEL (a checkout of google/cel-spec) → kept.jsonl, what lies in
the core that conditions carry, as lines for `belfry policy eval --batch` with what is wanted; and left_out.txt, every
other case with the reason. What is kept follows from what a case asks for, never from how Belfry answers it."""
import base64
import collections
import glob
import json
import os
import re
import sys

import textproto

HERE = os.path.dirname(os.path.abspath(__file__))

# Whole files whose subject is outside of the core.
FILES = {
    "bindings_ext": "an extension (cel.bind)",
    "block_ext": "an extension (cel.block)",
    "dynamic": "protocol buffers: wrappers, Any and Struct",
    "encoders_ext": "an extension (base64)",
    "enums": "protocol buffers: enumerations",
    "macros2": "an extension (macros with two variables)",
    "math_ext": "an extension (math)",
    "optionals": "an extension (optionals)",
    "proto2": "protocol buffers: messages",
    "proto2_ext": "protocol buffers: extensions",
    "proto3": "protocol buffers: messages",
    "string_ext": "an extension (strings)",
    "unknowns": "unknown values",
    "wrappers": "protocol buffers: wrappers",
}
MESSAGES = re.compile(r"TestAllTypes|google\.protobuf|GlobalEnum|NestedEnum|object_value|message_type")
DYNAMIC_ENVIRONMENT = re.compile(r"\bdyn\b|well_known ANY|type_param|wrapper|abstract")
NETWORK_LEFT_OUT = re.compile(r"\bisIP\(|\bip\.isCanonical\(|\bnet\.")
LITERAL = re.compile(r"[bB]?[rR]?(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')", re.S)
KINDS = [(r"[SBLM]", None), (r"true|false", "bool"), (r"null", "null"), (r"-?\d+[uU]", "uint"), (r"-?\d+", "int"),
         (r"-?[\d.]+(?:e[+-]?\d+)?", "double")]


def kind(text):
    for pattern, name in KINDS:
        if re.fullmatch(pattern, text.strip()):
            return name or text.strip()
    return None


def is_mixed(expr):
    """Whether a literal list, or the keys or the values of a literal map, are of several types."""
    plain = LITERAL.sub(lambda m: "B" if m.group()[0] in "bB" else "S", expr)
    inner = re.compile(r"\[([^\[\]{}()]*)\]|\{([^\[\]{}()]*)\}")
    while inner.search(plain):  # from the inside out: L and M stand for what was looked at
        for items, entries in inner.findall(plain):
            pairs = [entry.split(":") for entry in entries.split(",") if ":" in entry]
            for group in (items.split(","), [p[0] for p in pairs], [p[1] for p in pairs]):
                if len({kind(text) for text in group} - {None}) > 1:
                    return True
        plain = inner.sub(lambda m: " M " if m.group().startswith("{") else " L ", plain)
    return False


def flat(value):
    if isinstance(value, list):
        return " ".join(f"{name} {flat(item)}" for name, item in value)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def why_left_out(file, case):
    expr = case["expr"].decode()
    words = flat(list(case.items()))
    if file in FILES:
        return FILES[file]
    if MESSAGES.search(words):
        return "protocol buffers: messages and their types"
    if "dyn" in re.findall(r"\w+", expr):
        return "dynamic types: dyn"
    if DYNAMIC_ENVIRONMENT.search(flat(case.get("type_env", []))):
        return "dynamic types: a variable without one static type"
    if "optional" in expr:
        return "an extension (optionals)"
    if case.get("check_only") == "true":
        return "asks for the deduced type of what is never evaluated"
    if case.get("disable_check") == "true" and "eval_error" not in case:
        return "dynamic types: gives a value only where types are not checked"
    if "container" in case:
        return "containers (namespaces of protocol buffers)"
    if file == "network_ext" and NETWORK_LEFT_OUT.search(expr):
        return "an extension (network): isIP, ip.isCanonical and the names of its types"
    if is_mixed(expr):
        return "dynamic types: a literal list or map of several types"
    return None


def typed(value):
    """A cel.expr.Value as a typed value of the batch format."""
    name, item = value[0]
    if name in ("int64_value", "uint64_value"):
        return {name.split("64")[0]: int(item)}
    if name == "double_value":
        return {"double": repr(float(item))}
    if name == "bool_value":
        return {"bool": item == "true"}
    if name == "null_value":
        return {"null": True}
    if name == "string_value":
        return {"string": item.decode()}
    if name == "bytes_value":
        return {"bytes": base64.b64encode(item).decode()}
    if name == "type_value":
        return {"type": item.decode()}
    if name == "list_value":
        return {"list": [typed(v) for _, v in item]}
    if name == "map_value":
        return {"map": [[typed(dict(e)["key"]), typed(dict(e)["value"])] for _, e in item]}
    raise ValueError(name)


def line(identity, test):
    case = dict(test)
    out = {"id": identity, "expr": case["expr"].decode()}
    bound = {}
    for name, entry in test:
        if name == "bindings":
            entry = dict(entry)
            bound[entry["key"].decode()] = typed(dict(entry["value"])["value"])
    if bound:
        out["vars"] = bound
    if "eval_error" in case:
        out["error"] = True
    elif "typed_result" in case:
        out["want"] = typed(dict(case["typed_result"])["result"])
    else:
        out["want"] = typed(case.get("value", [("bool_value", "true")]))
    return out


def main(spec):
    kept, left_out, total = [], collections.defaultdict(lambda: collections.defaultdict(list)), 0
    for path in sorted(glob.glob(os.path.join(spec, "tests/simple/testdata/*.textproto"))):
        file = os.path.basename(path).removesuffix(".textproto")
        with open(path, "rb") as source:
            document = textproto.read(source.read())
        for section in [s for name, s in document if name == "section"]:
            title = dict(section)["name"].decode()
            for test in [t for name, t in section if name == "test"]:
                total += 1
                identity = f"{file}/{title}/{dict(test)['name'].decode()}"
                reason = why_left_out(file, dict(test))
                if reason:
                    left_out[reason][file].append(identity)
                else:
                    kept.append(line(identity, test))
    with open(os.path.join(HERE, "kept.jsonl"), "w") as out:
        for case in kept:
            out.write(json.dumps(case, ensure_ascii=False) + "\n")
    with open(os.path.join(HERE, "left_out.txt"), "w") as out:
        out.write(f"{total} cases are published, {len(kept)} kept (kept.jsonl), {total - len(kept)} left out: by reason.\n")
        for reason, files in sorted(left_out.items()):
            out.write(f"\n{sum(map(len, files.values()))}: {reason}\n")
            for file, names in files.items():
                whole = file in FILES
                out.write(f"    {file}: all {len(names)}\n" if whole else "".join(f"    {n}\n" for n in names))
    print(f"{len(kept)} of {total}")


if __name__ == "__main__":
    main(sys.argv[1])
