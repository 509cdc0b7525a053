# SPDX-License-Identifier: EUPL-1.2
"""WebSocket through the gateway, from clients of both protocols: who may open one, what passes, and how it ends."""

import os
import signal
import threading
import time

import pytest
from websockets.frames import Frame, Opcode

from callers import H2, OPENERS, UPGRADE, Reset, check_refusal, read_answer, tunnel, upgrade
from world import until

OPEN = "open.finance.localhost"
SMALL = "small.finance.localhost"
BOTH = pytest.mark.parametrize("http", list(OPENERS))


def opened(world, http, path="/ws", headers=(), **more):
    answer, socket, *_ = OPENERS[http](world, OPEN, path, headers, **more)
    assert answer.status == (101 if http == "1.1" else 200), answer
    return socket


def seen(world, path="/ws"):
    return until(lambda: world.origin.seen(path), f"{path} did not arrive")[-1]


@BOTH
def test_messages_of_all_sizes_come_back_as_they_were(world, http):
    with opened(world, http) as socket:
        for data in ("", "hello", "é" * 70, "x" * 65535, os.urandom(65536), os.urandom(3_000_000)):
            socket.say(data)
            frame = socket.frame()
            assert frame.opcode == (Opcode.TEXT if isinstance(data, str) else Opcode.BINARY)
            assert bytes(frame.data) == (data.encode() if isinstance(data, str) else data)


@BOTH
def test_pings_fragments_and_messages_of_the_application_pass(world, http):
    with opened(world, http, "/ws/push") as socket:
        assert socket.frame().data == b"first"
        socket.end.send_ping(b"are you there")
        socket.flush()
        pong = socket.frame()
        assert (pong.opcode, pong.data) == (Opcode.PONG, b"are you there")
        socket.end.send_text(b"one ", fin=False)
        socket.end.send_continuation(b"two", fin=True)
        socket.flush()
        parts = [socket.frame(), socket.frame()]
        assert [(p.data, p.fin) for p in parts] == [(b"one ", False), (b"two", True)]
        assert [p.opcode for p in parts] == [Opcode.TEXT, Opcode.CONT]


@BOTH
def test_a_message_in_many_pieces_arrives_before_the_next_is_written(world, http):
    """Nothing is held back: each byte is at the other end before the next one goes."""
    with opened(world, http) as socket:
        for i in range(50):
            socket.say(str(i))
            assert socket.frame().data == str(i).encode()


@BOTH
@pytest.mark.parametrize("code", [1000, 1001, 3999, 4711])
def test_close_codes_pass_both_ways(world, http, code):
    with opened(world, http, f"/ws?{code}") as socket:
        socket.bye(code, "enough")
        while socket.frame():
            pass
        assert socket.said_bye[0] == code
        until(lambda: seen(world, f"/ws?{code}").ended == code, "the application did not hear it")
    with opened(world, http, f"/ws/close/{code}") as socket:
        socket.say("go")
        while socket.frame():
            pass
        assert socket.said_bye == (code, "so be it")
        assert seen(world, f"/ws/close/{code}").ended == code


@BOTH
def test_an_application_that_ends_without_a_word_ends_the_client_too(world, http):
    with opened(world, http, "/ws/end") as socket:
        assert socket.frame() is None and socket.said_bye is None


@BOTH
@pytest.mark.parametrize("how", ["gone", "ended"])
def test_of_a_client_that_ends_without_a_word_nothing_stays(world, http, how):
    socket = opened(world, http, f"/ws/stay?{how}")
    socket.say("last words")
    if how == "ended" and http == "2":
        socket.h2.connection.end_stream(socket.stream)
        socket.h2.flush()
        assert socket.frame() is None
    elif how == "ended":
        try:
            socket.tls.unwrap()  # close_notify, and the wait for the other one
        except OSError:
            pass
    socket.close()
    until(lambda: world.metric("belfry_requests_open") == 0, "it is still open")
    request = seen(world, f"/ws/stay?{how}")
    until(lambda: request.ended == "end", "the application does not know")
    if how == "ended":
        assert [f.data for f in request.frames] == [b"last words"]


@BOTH
def test_what_is_asked_for_passes_and_the_key_is_the_gateways_own(world, http):
    headers = ["sec-websocket-protocol: chat", "origin: https://" + OPEN, "x-kept: yes"]
    if http == "2":
        headers = [tuple(line.split(": ", 1)) for line in headers]
    with opened(world, http, "/ws?asked", headers):
        pass
    request = seen(world, "/ws?asked")
    assert request.method == "GET" and request.get("x-kept") == "yes"
    assert request.get("sec-websocket-protocol") == "chat" and request.get("origin") == "https://" + OPEN
    assert request.all("upgrade") == ["websocket"] and request.get("connection").lower() == "upgrade"
    assert request.all("sec-websocket-version") == ["13"] and len(request.all("sec-websocket-key")) == 1
    assert request.get("content-length") is None and request.get("transfer-encoding") is None
    assert len(request.all("belfry-assertion")) == 1


def test_the_key_of_the_client_goes_no_further(world):
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    _, socket, *_ = upgrade(world, OPEN, "/ws?key", key=key)
    with socket:
        assert seen(world, "/ws?key").get("sec-websocket-key") != key


@BOTH
def test_what_the_client_says_too_early_waits_for_the_application(world, http):
    frame = Frame(Opcode.TEXT, b"early").serialize(mask=True)
    world.origin.clear()
    timer = threading.Timer(0.3, world.origin.release.set)
    timer.start()
    with opened(world, http, "/ws/late", behind=frame) as socket:
        assert socket.frame().data == b"early"
    timer.join()
    assert seen(world, "/ws/late").was_early is False, "it was sent before it was agreed"
    world.origin.clear()


# Who may


@BOTH
@pytest.mark.parametrize("status", [200, 403, 503])
def test_an_application_that_refuses_is_heard(world, http, status):
    path = "/plain" if status == 200 else f"/status/{status}"
    answer, socket, *_ = OPENERS[http](world, OPEN, path)
    assert (answer.status, socket) == (status, None)
    assert status != 200 or answer.body == b"GET /plain 0"


AGREED = b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: KEY\r\n"
AGREEMENTS = {
    "whole": (AGREED, True),
    "in another form": (b"Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: KEY\r\n", True),
    "no accept": (AGREED.replace(b"sec-websocket-accept: KEY\r\n", b""), False),
    "another accept": (AGREED.replace(b"KEY", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), False),
    "no upgrade": (AGREED.replace(b"upgrade: websocket\r\n", b""), False),
    "another upgrade": (AGREED.replace(b"upgrade: websocket", b"upgrade: h2c"), False),
    "no connection": (AGREED.replace(b"connection: Upgrade\r\n", b""), False),
}


@BOTH
@pytest.mark.parametrize("agreement", AGREEMENTS)
def test_an_application_must_show_that_it_has_understood(world, http, agreement):
    """RFC 6455 §4.1: else a server that echoes would be taken for one that agrees."""
    fields, agrees = AGREEMENTS[agreement]
    answer, socket, *_ = OPENERS[http](world, OPEN, "/ws-says/" + fields.hex())
    if agrees:
        with socket:
            assert socket.frame().data == b"Hi"
    else:
        assert (answer.status, answer.problem) == (502, "upstream_broken")


@pytest.mark.parametrize("comes", ["with the question", "after the answer"])
def test_what_was_meant_for_a_refused_tunnel_is_never_a_request(world, comes):
    smuggled = f"GET /smuggled HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode()
    is_early = comes == "with the question"
    answer, _, tls, rest = upgrade(world, OPEN, "/status/403", behind=smuggled if is_early else b"")
    with tls:
        if not is_early:
            tls.sendall(smuggled)
        assert answer.get("connection") == "close" and not rest and tls.recv(1) == b""
    assert not world.origin.seen("/smuggled")


def test_a_refused_tunnel_leaves_the_other_streams_alone(world):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        answer, _, _, stream = tunnel(world, OPEN, "/status/403", h2=h2, behind=b"frames")
        assert answer.status == 403
        while h2.streams[stream][3] is None:
            h2.turn()
        assert h2.streams[stream][3] == 0
        assert h2.ask(OPEN, "/after").status == 200


@BOTH
@pytest.mark.parametrize("origin, reason", [
    (OPEN, None), ("portal.finance.localhost", None), ("evil.example", "origin_refused"),
    ("null", "origin_refused"), (OPEN + ".evil.example", "origin_refused"), (None, None)])
def test_only_pages_of_the_application_may_open_one(world, http, origin, reason):
    origin = origin if origin in (None, "null") else f"https://{origin}"
    headers = [("origin", origin)] if origin else []
    if http == "1.1":
        headers = [": ".join(field) for field in headers]
    answer, socket, *_ = OPENERS[http](world, OPEN, "/ws?origin", headers)
    assert (socket is None) == (reason is not None)
    if reason:
        check_refusal(world, answer, "service", 403, reason)
        assert not world.origin.seen("/ws?origin")
    else:
        socket.close()


@BOTH
def test_an_application_without_websocket_gets_none(world, http):
    answer, _, *_ = OPENERS[http](world, SMALL, "/ws")
    check_refusal(world, answer, "service", 403, "websocket_refused")
    assert not world.origin.seen("/ws")


@BOTH
def test_the_rules_are_asked_as_for_a_get(world, http):
    answer, socket, *_ = OPENERS[http](world, OPEN, "/ws?rules")
    with socket:
        event = world.decision(answer.get("belfry-reference"))
        assert event["http.request.method"] == "GET" and event["belfry.reason_code"] == "permitted"
        assert event["rule.id"] == "everybody"


def test_a_websocket_whose_permission_is_withdrawn_is_closed_with_1008(new_world):
    """Between two frames; where one is under way the stream just ends, since nothing can be put inside it."""
    world = new_world(workers=1)
    between = [OPENERS[http](world, OPEN, "/ws")[1] for http in OPENERS]
    inside = upgrade(world, OPEN, "/ws/half")[1]
    for socket in between:
        socket.say("still here")
        assert socket.frame().data == b"still here"
    inside.say("half")
    assert inside.tls.recv(65536) == b"\x82\x05ab"
    rule = "id: everybody\n        permit: "
    world.update("finance", lambda text: text.replace(rule + "{}", rule + "{ paths: [/other] }", 1))
    for socket in between:
        while socket.frame():
            pass
        assert socket.said_bye[0] == 1008
    assert inside.tls.recv(65536) == b""
    until(lambda: world.metric("belfry_requests_open") == 0, "one is still open")
    ends = until(lambda: [e for e in world.events() if e["event.action"] == "access-end"][2:] and
                 [e for e in world.events() if e["event.action"] == "access-end"], "their ends are not in the audit")
    assert [e["belfry.reason_code"] for e in ends] == ["access_withdrawn"] * 3
    for socket in (*between, inside):
        socket.close()


def test_when_the_gateway_goes_down_websockets_are_told_and_wait_for_nothing(new_world):
    world = new_world(workers=1)
    sockets = [OPENERS[http](world, OPEN, "/ws")[1] for http in OPENERS]
    for socket in sockets:
        socket.say("here")
        assert socket.frame().data == b"here"
    began = time.monotonic()
    world.gateway.send_signal(signal.SIGTERM)
    for socket in sockets:
        while socket.frame():
            pass
        assert socket.said_bye == (1001, "the gateway goes down")
        socket.close()
    assert world.gateway.wait(10) == 0 and time.monotonic() - began < 1.5, "it waited for its deadline"


# Handshakes


MALFORMED = {
    "no key": {"key": ""},
    "a short key": {"key": "dGhlIHNhbXBsZSBub25jZQ"},
    "two keys": {"headers": ["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="]},
    "no version": {"lines": UPGRADE[:2]},
    "two versions": {"lines": (*UPGRADE, "sec-websocket-version: 13")},
    "a body": {"headers": ["content-length: 2"], "behind": b"{}"},
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_handshake_is_refused(world, case):
    answer, _, tls, _ = upgrade(world, OPEN, "/ws?malformed", **MALFORMED[case])
    tls.close()
    check_refusal(world, answer, "service", 400, "request_malformed")
    assert not world.origin.seen("/ws?malformed")


def test_another_version_is_told_ours(world):
    answer, _, tls, _ = upgrade(world, OPEN, "/ws", lines=(*UPGRADE[:2], "sec-websocket-version: 8"))
    tls.close()
    check_refusal(world, answer, "service", 426, "websocket_version")
    assert answer.get("sec-websocket-version") == "13" and answer.get("upgrade") == "websocket"
    assert "upgrade" in answer.all("connection")
    answer, *_ = tunnel(world, OPEN, "/ws", version="14")
    check_refusal(world, answer, "service", 426, "websocket_version")
    assert answer.get("sec-websocket-version") == "13" and answer.get("upgrade") is None


IGNORED = {
    "h2c": ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQAAP__"),
    "not in Connection": ("upgrade: websocket", "sec-websocket-version: 13"),
    "POST": UPGRADE,
}


@pytest.mark.parametrize("case", IGNORED)
def test_other_upgrades_are_not_taken(world, case):
    """RFC 9110 §7.8: a server may ignore them; the application does not see them."""
    method = "POST" if case == "POST" else "GET"
    answer, socket, tls, _ = upgrade(world, OPEN, "/ignored", lines=IGNORED[case], method=method)
    tls.close()
    assert (answer.status, answer.body, socket) == (200, f"{method} /ignored 0".encode(), None)
    request = seen(world, "/ignored")
    assert request.get("upgrade") is None and request.get("http2-settings") is None


def test_other_protocols_of_connect_are_not_carried(world):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        for protocol in ("connect-udp", "websocket2", "h2c"):
            answer, *_ = tunnel(world, OPEN, "/ws?other", h2=h2, protocol=protocol)
            check_refusal(world, answer, "service", 501, "method_refused")
        with pytest.raises(Reset):  # a protocol is a CONNECT's alone (RFC 8441 §4)
            h2.end(h2.begin(OPEN, "/ws?other", headers=[(":protocol", "websocket"), ("sec-websocket-version", "13")]))
        assert not world.origin.seen("/ws?other")


def test_over_http2_a_handshake_has_no_key_a_version_and_an_open_stream(world):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        answer, *_ = tunnel(world, OPEN, "/ws", h2=h2, version=None)
        check_refusal(world, answer, "service", 400, "request_malformed")
        answer, *_ = tunnel(world, OPEN, "/ws", h2=h2, headers=[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")])
        check_refusal(world, answer, "service", 400, "request_malformed")
        stream = h2.begin(OPEN, "/ws", method="CONNECT", headers=[(":protocol", "websocket"), ("sec-websocket-version", "13")])
        check_refusal(world, h2.end(stream), "service", 400, "request_malformed")
        assert not world.origin.seen("/ws")


def test_many_websockets_and_requests_share_one_h2_connection(world):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        sockets = [tunnel(world, OPEN, f"/ws?{i}", h2=h2)[1] for i in range(30)]
        for i, socket in enumerate(sockets):
            socket.say(f"I am {i}")
        assert h2.ask(OPEN, "/between").status == 200
        for i, socket in reversed(list(enumerate(sockets))):
            assert socket.frame().data == f"I am {i}".encode()
