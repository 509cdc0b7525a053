# SPDX-License-Identifier: EUPL-1.2
"""A DNS server on loopback whose answers a test changes as it likes: `answers` maps a name to its addresses. What is
not there does not exist (NXDOMAIN); RFC 1035, over UDP."""

import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


class DnsServer:
    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.answers = {}
        self.ttl = 1
        self.rcode = None  # of every answer, where set
        self.is_silent = False
        self.asked = []  # (name, type)
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _serve(self):
        while True:
            try:
                message, peer = self.socket.recvfrom(512)
            except OSError:  # closed
                return
            if answer := self._answer(message):
                self.socket.sendto(answer, peer)

    def _answer(self, message):
        labels, at = [], 12
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode())
            at += 1 + message[at]
        kind = struct.unpack("!H", message[at + 1:at + 3])[0]
        name, question = ".".join(labels).lower(), message[12:at + 5]
        self.asked.append((name, kind))
        if self.is_silent:
            return None
        found = [ipaddress.ip_address(one) for one in self.answers.get(name, ())]
        found = [one for one in found if one.version == (4 if kind == A else 6)] if kind in (A, AAAA) else []
        rcode = self.rcode if self.rcode is not None else NOERROR if name in self.answers else NXDOMAIN
        if rcode != NOERROR:
            found = []
        head = message[:2] + struct.pack("!5H", 0x8180 | rcode, 1, len(found), 0, 0)
        records = [struct.pack("!HHHIH", 0xC00C, kind, 1, self.ttl, len(one.packed)) + one.packed for one in found]
        return head + question + b"".join(records)
