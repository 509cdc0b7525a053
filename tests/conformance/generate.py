# SPDX-License-Identifier: EUPL-1.2
"""Expressions of the condition language, drawn from a seed: mostly of one type with itself, at the edges of its range."""
import random

SCALARS = ["bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"]
LITERALS = {
    "bool": ["true", "false"],
    "int": ["0", "1", "2", "-1", "7", "-13", "100", "9223372036854775807", "-9223372036854775808", "0x1f"],
    "uint": ["0u", "1u", "3u", "250u", "18446744073709551615u"],
    "double": ["0.0", "-0.0", "1.5", "-2.25", "1e3", "1e300", "1e-7", "0.1", "123456789.0", "3.0"],
    "string": ["''", "'a'", "'abc'", "'\u00e9'", "'\U0001f600x'", "'12'", "'-7'", "'1.5'", "'true'", "'tax-officers'", "r'\\d'",
               "'\\u00e9\\n'", "'''x'y'''", "'2026-01-31T08:00:00Z'", "'1h30m'", "'B'"],
    "bytes": ["b''", "b'a'", "b'\\xff'", "b'\u00e9'", "b'abc'", "b'\\000'"],
    "timestamp": [f"timestamp('{text}')" for text in (
        "2026-01-31T08:00:00Z", "1969-12-31T23:59:59.5Z", "2024-02-29T12:34:56.789+02:00", "1000-01-01T00:00:00Z",
        "9999-12-30T23:59:59Z")],
    "duration": [f"duration('{text}')" for text in ("0s", "1h30m", "-1.5s", "100ms", "90s", "1us", "-86400s")],
}
ZONES = ["", "'UTC'", "'Europe/Brussels'", "'+02:00'", "'-09:30'", "'America/New_York'", "'Asia/Kathmandu'",
         "'Australia/Sydney'"]
TIME_PARTS = ["getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours",
              "getMinutes", "getSeconds", "getMilliseconds"]
PATTERNS = ["^a", "[0-9]+", "b|c$", "(?i)B", "x*", ".\u00e9", "^.{2}$"]
SIGNS = {"int": "+-*/%", "uint": "+-*/%", "double": "+-*/", "string": "+", "bytes": "+"}
CONVERSIONS = {"int": ["uint", "double", "timestamp", "int"], "uint": ["int", "double", "uint"],
               "double": ["int", "uint", "double"], "string": ["int", "uint", "double", "bool"], "bytes": ["string"],
               "timestamp": ["timestamp"], "duration": ["duration"]}


class Expr(str):
    """The text, what it is made of, and the variables of macros that it needs from outside."""

    def __new__(cls, form, *parts, bound=None):
        self = super().__new__(cls, form % parts if parts else form)
        self.parts = [part for part in parts if isinstance(part, Expr)]
        self.free = {name for part in self.parts for name in part.free} - {bound}
        return self

    def closed(self):
        """All that can be evaluated alone, itself among it."""
        own = {str(self)} if not self.free else set()
        return own.union(*(part.closed() for part in self.parts))


def variable(name):
    out = Expr(name)
    out.free = {name}
    return out


class Draw(random.Random):
    def literal(self, kind):
        if kind == "int" and self.random() < 0.2:
            return Expr(str(self.randint(-1000, 1000)))
        if kind == "double" and self.random() < 0.1:
            return Expr(repr(self.uniform(-100, 100)))
        return Expr(self.choice(LITERALS[kind]))

    def macro(self, name, kind, body, depth, scope):
        """`kind` is of the list's elements, `body` of what is asked of each."""
        bound = f"x{len(scope)}"
        items = self.list_of(kind, depth - 1, scope)
        asked = self.expr(body, depth - 1, [*scope, (bound, kind)])
        return Expr(f"%s.{name}({bound}, %s)", items, asked, bound=bound)

    def list_of(self, kind, depth, scope):
        draw = self.random()
        if draw < 0.6 or depth <= 0:
            items = [self.expr(kind, depth - 1, scope) for _ in range(self.randint(0, 4))]
            return Expr("[" + ", ".join(["%s"] * len(items)) + "]", *items)
        if draw < 0.7:
            return Expr("(%s + %s)", self.list_of(kind, depth - 1, scope), self.list_of(kind, depth - 1, scope))
        if draw < 0.85:
            return self.macro("filter", kind, "bool", depth, scope)
        return self.macro("map", self.choice(SCALARS), kind, depth, scope)

    def map_of(self, key, kind, depth, scope):
        pairs = [part for _ in range(self.randint(0, 3))
                 for part in (self.literal(key), self.expr(kind, depth - 1, scope))]
        return Expr("{" + ", ".join(["%s: %s"] * (len(pairs) // 2)) + "}", *pairs)

    def boolean(self, depth, scope):
        kind = self.choice(SCALARS)
        one = lambda of: self.expr(of, depth - 1, scope)  # noqa: E731
        some = lambda: self.list_of(kind, depth - 1, scope)  # noqa: E731
        return self.choice([
            lambda: Expr("(%s && %s)", one("bool"), one("bool")),
            lambda: Expr("(%s || %s)", one("bool"), one("bool")),
            lambda: Expr("!%s", one("bool")),
            lambda: Expr("(%s " + self.choice(["==", "!=", "<", "<=", ">", ">="]) + " %s)", one(kind), one(kind)),
            lambda: Expr("(%s in %s)", one(kind), some()),
            lambda: Expr("(%s in %s)", one("string"), self.map_of("string", kind, depth - 1, scope)),
            lambda: Expr("%s." + self.choice(["startsWith", "endsWith", "contains"]) + "(%s)", one("string"), one("string")),
            lambda: Expr(f"%s.matches('{self.choice(PATTERNS)}')", one("string")),
            lambda: Expr("(%s " + self.choice(["==", "!="]) + " %s)", some(), some()),
            lambda: self.macro(self.choice(["exists", "all", "exists_one"]), kind, "bool", depth, scope),
            lambda: Expr("(%s == %s)", *(self.map_of("int", kind, depth - 1, scope) for _ in range(2))),
        ])()

    def number_of_something(self, depth, scope):
        one = lambda of: self.expr(of, depth - 1, scope)  # noqa: E731
        return self.choice([
            lambda: Expr("size(%s)", self.choice([one("string"), one("bytes"), self.list_of("int", depth - 1, scope)])),
            lambda: Expr(f"%s.{self.choice(TIME_PARTS)}({self.choice(ZONES)})", one("timestamp")),
            lambda: Expr(f"%s.{self.choice(TIME_PARTS[-4:])}()", one("duration")),
        ])()

    def expr(self, kind, depth, scope=()):
        mine = [name for name, of in scope if of == kind]
        if depth <= 0 or self.random() < 0.12:
            return variable(self.choice(mine)) if mine and self.random() < 0.5 else self.literal(kind)
        one = lambda of: self.expr(of, depth - 1, scope)  # noqa: E731
        draw = self.random()
        if draw < 0.08:
            return Expr("(%s ? %s : %s)", one("bool"), one(kind), one(kind))
        if draw < 0.13:
            return Expr("%s[%s]", self.list_of(kind, depth - 1, scope), self.choice([Expr("0"), Expr("1"), one("int")]))
        if draw < 0.16:
            return Expr("%s[%s]", self.map_of("string", kind, depth - 1, scope), self.literal("string"))
        if kind == "bool":
            return self.boolean(depth, scope)
        if draw < 0.4:
            return Expr(f"{kind}(%s)", one(self.choice(CONVERSIONS[kind])))
        if kind == "int" and draw < 0.6:
            return self.number_of_something(depth, scope)
        if kind in ("int", "double") and draw < 0.65:
            return Expr("-(%s)", one(kind))
        if kind in ("timestamp", "duration"):
            if kind == "duration" and draw < 0.6:
                return Expr("(%s - %s)", one("timestamp"), one("timestamp"))
            return Expr(f"(%s {self.choice('+-')} %s)", one(kind), one("duration"))
        return Expr(f"(%s {self.choice(SIGNS[kind]).replace('%', '%%')} %s)", one(kind), one(kind))

    def any_expr(self):
        if self.random() < 0.1:
            return self.list_of(self.choice(SCALARS), 3, ())
        return self.expr(self.choice([*SCALARS, "bool", "bool"]), self.randint(1, 4))


def expressions(seed, count):
    draw = Draw(seed)
    return [draw.any_expr() for _ in range(count)]
