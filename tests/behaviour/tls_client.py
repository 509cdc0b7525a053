# SPDX-License-Identifier: EUPL-1.2
"""A TLS client that can do what the standard library's doesn't: carry a session from one context to another (so a
ticket without its certificate), and send ClientHellos made by hand."""

import ctypes
import os
import socket
import struct

from OpenSSL import SSL

from world import parse_answer

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
WAIT_S = 10


def connected(port):
    """A blocking socket whose waits end, so that a gateway that says nothing fails a test instead of hanging it."""
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", WAIT_S, 0))
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", WAIT_S, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain


class Refused(Exception):
    """The gateway ended it by that alert; `str()` is OpenSSL's name of it, such as "certificate unknown"."""


def alert_of(error):
    reasons = " ".join(item[2] for item in error.args[0]) if error.args and isinstance(error.args[0], list) else ""
    for text in ("sslv3 alert ", "tlsv1 alert ", "tlsv13 alert ", "tlsv1 "):
        if text in reasons:
            return Refused(reasons.split(text, 1)[1])
    return error


def ticket_bytes(session):
    """The ticket in a session, as the gateway sent it; pyOpenSSL has no door to it."""
    lib = ctypes.CDLL("libssl.so.3")
    at, size = ctypes.c_void_p(), ctypes.c_size_t()
    lib.SSL_SESSION_get0_ticket(ctypes.c_void_p(int(SSL._ffi.cast("uintptr_t", session._session))), ctypes.byref(at),
                                ctypes.byref(size))
    return ctypes.string_at(at, size.value) if at else b""


class Visit:
    """One connection: `cert` is a name of the PKI or a (certificate, key) pair of files; `session` comes from
    `ticket` of another visit. The handshake's alert is raised as Refused."""

    def __init__(self, world, host, cert=None, version="1.3", session=None, tickets=True, alpn=(b"http/1.1",)):
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(VERSIONS[version])
        context.set_max_proto_version(VERSIONS[version])
        context.load_verify_locations(str(world.trust))
        context.set_verify(SSL.VERIFY_PEER, lambda connection, x509, error, depth, ok: bool(ok))
        context.set_alpn_protos(list(alpn))
        if not tickets:
            context.set_options(SSL.OP_NO_TICKET)
        if cert:
            chain, key = map(str, world.client(cert) if isinstance(cert, str) else cert)
            context.use_certificate_chain_file(chain)
            context.use_privatekey_file(key)
        self.world, self.host, self.rest = world, host, b""
        self.socket = connected(world.port)
        self.tls = SSL.Connection(context, self.socket)
        if host is not None:
            self.tls.set_tlsext_host_name(host.encode())
        if session:
            self.tls.set_session(session)
        self.tls.set_connect_state()
        try:
            self.tls.do_handshake()
        except SSL.Error as error:
            self.socket.close()
            raise alert_of(error) from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # OpenSSL drops a session whose connection broke off; ours has ended well.
        self.tls.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
        self.socket.close()

    @property
    def is_resumed(self):
        return SSL._lib.SSL_session_reused(self.tls._ssl) == 1

    @property
    def early_data_max(self):
        return SSL._lib.SSL_SESSION_get_max_early_data(SSL._lib.SSL_get_session(self.tls._ssl))

    @property
    def ticket(self):
        """The session as it is now; in TLS 1.3 that needs an answer to have been read."""
        return self.tls.get_session()

    @property
    def ticket_bytes(self):
        return ticket_bytes(self.ticket)

    def ask(self, path="/", host=None, fields=()):
        """One request; an alert that comes in the place of its answer is raised as Refused."""
        lines = [f"GET {path} HTTP/1.1", f"host: {host or self.host}", *fields, "", ""]
        try:
            self.tls.sendall("\r\n".join(lines).encode())
            while b"\r\n\r\n" not in self.rest:
                self.rest += self.tls.recv(65536)
            length = int(parse_answer(self.rest).get("content-length"))
            whole = self.rest.index(b"\r\n\r\n") + 4 + length
            while len(self.rest) < whole:
                self.rest += self.tls.recv(65536)
        except SSL.Error as error:
            raise alert_of(error) from error
        answer, self.rest = parse_answer(self.rest[:whole]), self.rest[whole:]
        return answer

    def seen(self, path="/managed/x", **more):
        """(reason, device) as the audit has them for one request; the answer agrees."""
        answer = self.ask(path, **more)
        event = self.world.decision(answer.get("belfry-reference"))
        assert answer.problem == (None if answer.status == 200 else event["belfry.reason_code"])
        return event["belfry.reason_code"], event.get("device.id")


# ClientHellos by hand (RFC 8446 §4.1.2)

X25519, P256 = 0x001D, 0x0017


def _block(width, data):
    return len(data).to_bytes(width, "big") + data


def _extension(number, data):
    return struct.pack("!H", number) + _block(2, data)


def server_names(*names, kind=0):
    return _extension(0, _block(2, b"".join(bytes([kind]) + _block(2, name) for name in names)))


def hello(names, version="1.3", has_share=True, legacy=b"\x03\x03", suites=(0x1301, 0xC02B, 0xC02F), methods=b"\x00"):
    """A whole record. `names` is the server_name extension's bytes, or b"" for none; without a key share a
    HelloRetryRequest comes back."""
    extensions = names + _extension(10, _block(2, struct.pack("!HH", X25519, P256))) + _extension(11, b"\x01\x00")
    extensions += _extension(13, _block(2, struct.pack("!HHH", 0x0403, 0x0804, 0x0401)))
    if version == "1.3":
        extensions += _extension(43, _block(1, b"\x03\x04"))
        share = struct.pack("!H", X25519) + _block(2, b"\x09" + bytes(31)) if has_share else b""
        extensions += _extension(51, _block(2, share))
    body = legacy + os.urandom(32) + _block(1, b"") + _block(2, struct.pack(f"!{len(suites)}H", *suites))
    body += _block(1, methods) + _block(2, extensions)
    message = b"\x01" + _block(3, body)
    return b"\x16\x03\x01" + _block(2, message)


def first_record(plain):
    """(type, bytes) of what comes back first."""
    data = b""
    while len(data) < 5 or len(data) < 5 + int.from_bytes(data[3:5], "big"):
        more = plain.recv(65536)
        assert more, f"the connection ended behind {data!r}"
        data += more
    return data[0], data[5 : 5 + int.from_bytes(data[3:5], "big")]


def said(record):
    """In words: an alert's number, or "retry" (HelloRetryRequest), or "hello"."""
    kind, data = record
    if kind == 21:
        assert data[0] == 2, "an alert that is not fatal"
        return data[1]
    assert kind == 22 and data[0] == 2, record
    retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446 §4.1.3
    return "retry" if data[6:38] == retry else "hello"


def greet(world, *hellos):
    """Sends each hello after the answer to the one before; what was said to each."""
    with connected(world.port) as plain:
        answers = []
        for one in hellos:
            plain.sendall(one)
            answers.append(said(first_record(plain)))
        return answers
