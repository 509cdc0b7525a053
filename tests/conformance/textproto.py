# SPDX-License-Identifier: EUPL-1.2
"""Protocol buffers in text format, read into plain Python: a message is a list of (field, value), a string is bytes,
a number or a word is its text. As much of the format as the published conformance files of CEL use."""
import re

TOKEN = re.compile(rb"""[ \t\r\n]+|\#[^\n]*|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
                   rb"""|(?P<word>[A-Za-z0-9_.+-]+)|(?P<sign>[{}\[\]<>:,;/])""", re.S)
NAMED = {b"a": 7, b"b": 8, b"f": 12, b"n": 10, b"r": 13, b"t": 9, b"v": 11, b"\\": 92, b"'": 39, b'"': 34, b"?": 63}
ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.S)


def unescape(match):
    octal, hexa, short, long, named = match.groups()
    if octal:
        return bytes([int(octal, 8) & 255])
    if hexa:
        return bytes([int(hexa, 16)])
    if short or long:
        return chr(int(short or long, 16)).encode()
    return bytes([NAMED[named]])


def tokens(text):
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise ValueError(f"no token at byte {at}: {text[at:at + 40]!r}")
        at = match.end()
        if match.lastgroup:
            yield match.lastgroup, match.group()
    yield "end", b""


class Reader:
    def __init__(self, text):
        self.tokens = list(tokens(text))
        self.at = 0

    def peek(self):
        return self.tokens[self.at][1]

    def take(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, sign):
        if self.tokens[self.at] != ("sign", sign):
            return False
        self.at += 1
        return True

    def message(self, end):
        fields = []
        while not (end and self.accept(end)):
            kind, name = self.take()
            if kind == "end":
                if end:
                    raise ValueError("a message has no end")
                return fields
            if name == b"[":  # the name of an extension, or the type of an Any
                name = b""
                while not self.accept(b"]"):
                    name += self.take()[1]
                name = b"[" + name + b"]"
            self.accept(b":")
            for value in self.values():
                fields.append((name.decode(), value))
            self.accept(b",") or self.accept(b";")
        return fields

    def values(self):
        if not self.accept(b"["):
            return [self.value()]
        items = []
        while not self.accept(b"]"):
            items.append(self.value())
            self.accept(b",")
        return items

    def value(self):
        if self.accept(b"{"):
            return self.message(b"}")
        kind, text = self.take()
        if kind == "word":
            return text.decode()
        if kind != "string":
            raise ValueError(f"no value: {text!r}")
        whole = ESCAPE.sub(unescape, text[1:-1])
        while self.tokens[self.at][0] == "string":  # strings that follow each other are one
            whole += ESCAPE.sub(unescape, self.take()[1][1:-1])
        return whole


def read(text):
    return Reader(text).message(None)
