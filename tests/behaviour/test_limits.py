# SPDX-License-Identifier: EUPL-1.2
"""What one client may take: of connections, handshakes and requests, by address, device and user; and how slow a body may
be. Whoever has too much is refused, and the next one is served."""

import socket
import time

import pytest

from callers import H2, check_refusal, read_answer
from world import until

OPEN, MAYBE, STRICT, TOKEN = (f"{name}.finance.localhost" for name in ("open", "maybe", "strict", "token"))
LAPTOP = "laptop-0001"


def limited(**limits):
    text = ", ".join(f"{name}: {value}" for name, value in limits.items())
    return f"limits: {{ {text} }}\ntimeouts: {{ body: 1s, head: 2s }}\n"


def count(world, reason):
    label = f'belfry_exchanges_total{{reason="{reason}"}} '
    return sum(float(line.removeprefix(label)) for line in world.admin("/metrics")[1].splitlines() if line.startswith(label))


def is_turned_away(world, address="127.0.0.1"):
    """The connection is closed before a byte is said."""
    with socket.socket() as plain:
        plain.bind((address, 0))
        plain.settimeout(5)
        plain.connect(("127.0.0.1", world.port))
        try:
            return plain.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.mark.parametrize("reason, limits", [
    ("connections_full", {"connections": 3}), ("connections_address", {"connections_per_address": 3})])
def test_one_connection_too_many_is_closed_before_its_handshake(new_world, reason, limits):
    world = new_world(workers=1, extra_config=limited(**limits))
    held = [world.tls(OPEN) for _ in range(3)]
    assert is_turned_away(world)
    until(lambda: count(world, reason) == 1, "it is not counted")
    until(lambda: [e for e in world.events() if e.get("belfry.reason_code") == reason], "the audit has nothing of it")
    if reason == "connections_address":
        with socket.socket() as other:  # another address has its own
            other.bind(("127.0.0.2", 0))
            other.connect(("127.0.0.1", world.port))
            other.settimeout(0.3)
            with pytest.raises(TimeoutError):
                other.recv(1)
    held.pop().close()
    until(lambda: world.metric("belfry_connections_open") == 2, "it is still counted")
    assert world.ask(OPEN, "/again").status == 200
    for tls in held:
        tls.close()


def test_a_device_has_its_own_number_of_connections(new_world):
    world = new_world(workers=1, extra_config=limited(connections_per_device=2))
    held = [world.tls(STRICT, cert=LAPTOP) for _ in range(2)]
    for tls in held:
        tls.sendall(f"GET / HTTP/1.1\r\nhost: {STRICT}\r\n\r\n".encode())
        assert read_answer(tls)[0].status == 200
    with pytest.raises(OSError):
        world.ask(STRICT, cert=LAPTOP)
    assert count(world, "connections_device") == 1
    until(lambda: [e for e in world.events() if e.get("belfry.reason_code") == "connections_device" and e.get("device.id")],
          "the audit does not say which device")
    assert world.ask(MAYBE, "/open/x").status == 200  # nobody's device
    held[0].close()
    until(lambda: world.metric("belfry_connections_open") == 1, "it is still counted")
    assert world.ask(STRICT, cert=LAPTOP).status == 200
    held[1].close()


@pytest.mark.parametrize("reason, limits", [("handshakes_full", {"handshakes": 2}),
                                            ("handshakes_address", {"handshakes_per_address": 2})])
def test_too_many_handshakes_are_not_begun(new_world, reason, limits):
    world = new_world(workers=1, extra_config=limited(**limits))
    turned_away = 0
    for _ in range(14):  # ten are saved up
        try:
            world.tls(OPEN).close()
        except OSError:
            turned_away += 1
    assert turned_away >= 1 and count(world, reason) == turned_away
    until(lambda: not is_refused(world), "the bucket does not fill again", 5)


def is_refused(world):
    try:
        world.tls(OPEN).close()
        return False
    except OSError:
        return True


RATES = {"rate_address": ("requests_per_address", OPEN, {}), "rate_device": ("requests_per_device", STRICT, {"cert": LAPTOP}),
         "rate_user": ("requests_per_user", TOKEN, {})}


@pytest.mark.parametrize("reason", RATES)
def test_who_asks_too_much_is_told_to_come_back(new_world, reason):
    key, host, client = RATES[reason]
    world = new_world(workers=1, extra_config=limited(**{key: 4}))
    headers = []
    if reason == "rate_user":
        headers = [("authorization", f"Bearer {world.token('finance', 'anna')}")]
    with H2(world.tls(host, alpn=("h2",), **client)) as h2:
        answers = [h2.ask(host, "/x", headers=headers) for _ in range(30)]
        refused = [answer for answer in answers if answer.status != 200]
        assert [answer.status for answer in answers[:20]] == [200] * 20 and len(refused) >= 5  # five seconds are saved up
        event = check_refusal(world, refused[0], "service", 429, reason)
        assert refused[0].get("retry-after") == "1"
        assert bool(event.get("device.id")) == (reason == "rate_device")
        until(lambda: h2.ask(host, "/x", headers=headers).status == 200, "it never ends", 5)
        if reason == "rate_user":  # another user is not meant
            other = [("authorization", f"Bearer {world.token('finance', 'bart')}")]
            assert h2.ask(host, "/x", headers=other).status == 200
    assert len(world.origin.seen("/x")) < 40


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_a_body_in_drops_is_refused(new_world, http):
    world = new_world(workers=1, extra_config=limited(body_rate=1024))
    if http == "1.1":
        with world.tls(OPEN) as tls:
            tls.sendall(f"POST /slow HTTP/1.1\r\nhost: {OPEN}\r\ncontent-length: 100000\r\n\r\n".encode())
            tls.settimeout(0.1)
            for _ in range(60):
                try:
                    tls.sendall(b"b")
                    rest = tls.recv(65536)
                    break
                except TimeoutError:
                    continue
            answer = read_answer(tls, rest)[0]
    else:
        with H2(world.tls(OPEN, alpn=("h2",))) as h2:
            stream = h2.begin(OPEN, "/slow", method="POST", body=b"b", end=False)
            answer = h2.end(stream)
            assert h2.ask(OPEN, "/after").status == 200
    assert (answer.status, answer.problem) == (408, "body_slow")
    reference = answer.get("belfry-reference")
    until(lambda: [e for e in world.events(reference) if e["belfry.reason_code"] == "body_slow"], "the audit does not say so")


def test_a_body_that_the_application_does_not_take_is_not_slow(new_world):
    world = new_world(workers=1, extra_config=limited(body_rate=1024))
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        stream = h2.begin(OPEN, "/held/x", method="POST", body=b"b" * 16000, end=False)
        until(lambda: world.origin.seen("/held/x"), "it did not arrive")
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            h2.connection.send_data(stream, b"b" * 400)
            h2.flush()
            time.sleep(0.01)
        world.origin.release.set()
        h2.connection.end_stream(stream)
        h2.flush()
        assert h2.end(stream).status == 200


def test_a_head_above_the_configured_size_or_count_is_refused(new_world):
    world = new_world(workers=1, extra_config=limited(head="4KiB", fields=20))
    for http in ("1.1", "2"):
        assert world.ask(OPEN, "/", headers=[f"x-{i}: v" for i in range(10)], http=http).status == 200
        assert world.ask(OPEN, "/", headers=[f"x-{i}: v" for i in range(25)], http=http).problem == "headers_too_large"
        assert world.ask(OPEN, "/", headers=["x-a: " + "b" * 5000], http=http).problem == "headers_too_large"
    assert world.ask(OPEN, "/").status == 200
