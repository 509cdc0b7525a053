# SPDX-License-Identifier: EUPL-1.2
"""gRPC end to end, with Debian's grpcio at both ends: the four kinds of call, deadlines, cancellation, and refusals that
a client understands. Messages are bytes; no compiler of protocols is needed."""

import re
import threading
import time
from concurrent import futures

import grpc
import pytest

from callers import H2
from h2_origin import H2Origin
from world import World, until

HOST = "grpc.finance.localhost"
DEAF = "deaf.finance.localhost"  # an application that knows no deadlines
TIGHT = "tight.finance.localhost"  # waits 1 s for an answer's next bytes
APPLICATION = """
  - id: {id}
    host: {id}.finance.localhost
    device: optional
    identity_providers: [fas]
    upstreams: [h2c://127.0.0.1:{port}]
    limits: {{ body: 1GiB }}
    timeouts: {{ idle: {idle}, first_byte: 20s }}
    rules:
      - id: officers
        permit: {{ methods: [POST], paths: ["/test.Echo/**"] }}
        when: '"tax-officers" in user.groups && device.trust == "managed"'
      - id: anybody
        permit: {{ methods: [POST], paths: ["/test.Open/**", "/never", "/pause"] }}
"""
MORE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Service(grpc.GenericRpcHandler):
    """What it is asked for is the last word of the path, in every service."""

    def __init__(self):
        self.ended = {}  # call's name → event: the server has seen its end
        self.release = threading.Event()
        self.seen = []

    def service(self, details):
        kinds = {"Unary": grpc.unary_unary_rpc_method_handler, "Wait": grpc.unary_unary_rpc_method_handler,
                 "Fail": grpc.unary_unary_rpc_method_handler, "Gather": grpc.stream_unary_rpc_method_handler,
                 "Spread": grpc.unary_stream_rpc_method_handler, "Forever": grpc.unary_stream_rpc_method_handler,
                 "Chat": grpc.stream_stream_rpc_method_handler}
        name = details.method.rsplit("/", 1)[1]
        return kinds[name](getattr(self, name)) if name in kinds else None

    def note(self, context):
        self.seen.append(dict(context.invocation_metadata()))
        event = threading.Event()
        self.ended.setdefault("last", event)
        self.ended["last"] = event
        context.add_callback(event.set)
        return event

    def Unary(self, request, context):
        self.note(context)
        context.send_initial_metadata([("x-early", "1")])
        context.set_trailing_metadata([("x-late", "2"), ("x-bin-bin", b"\x00\xff")])
        return request

    def Fail(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: é%")

    def Wait(self, request, context):
        self.note(context).wait(30)
        return request

    def Gather(self, requests, context):
        self.note(context)
        return b"%d" % sum(len(r) for r in requests)

    def Spread(self, request, context):
        self.note(context)
        count, size = map(int, request.split())
        for _ in range(count):
            yield b"s" * size

    def Forever(self, request, context):
        event = self.note(context)
        yield b"first"
        while not event.wait(0.05 if request == b"busy" else 30):
            yield b"more"

    def Chat(self, requests, context):
        self.note(context)
        for request in requests:
            yield b"you said " + request


class GrpcWorld(World):
    def __init__(self, port, **more):
        super().__init__(hosts=[HOST, TIGHT, DEAF], workers=1, **more)
        self.grpc_port, self.deaf = port, H2Origin()

    def write_policy(self):
        super().write_policy()
        with open(self.folder / "policy/finance.yaml", "a") as file:
            for name, idle, port in (("grpc", "20s", self.grpc_port), ("tight", "1s", self.grpc_port),
                                     ("deaf", "20s", self.deaf.port)):
                file.write(APPLICATION.format(id=name, port=port, idle=idle))

    def channel(self, cert="laptop-0001", host=HOST):
        root, key, chain = self.trust.read_bytes(), None, None
        if cert:
            chain, key = (path.read_bytes() for path in self.client(cert))
        credentials = grpc.ssl_channel_credentials(root, key, chain)
        return grpc.secure_channel(f"127.0.0.1:{self.port}", credentials, [
            *MORE, ("grpc.ssl_target_name_override", host), ("grpc.default_authority", host)])


@pytest.fixture(scope="module")
def service():
    made = Service()
    made.server = grpc.server(futures.ThreadPoolExecutor(32), [made], options=MORE)
    made.port = made.server.add_insecure_port("127.0.0.1:0")
    made.server.start()
    yield made
    made.server.stop(None)


@pytest.fixture(scope="module")
def world(service):
    with GrpcWorld(service.port) as made:
        made.begin()
        made.officer = [("authorization", "Bearer " + made.token("finance", "anna"))]
        yield made
        assert made.stop("gateway", patience_s=20) == 0
        assert "Sanitizer" not in made.log_text() and "runtime error" not in made.log_text(), made.log_text()[-6000:]


@pytest.fixture
def channel(world):
    with world.channel() as made:
        yield made


def reference(error):
    return dict(error.trailing_metadata())["belfry-reference"]


def refused(call, code):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() == code, caught.value
    return caught.value


def ended(world, path):
    """The reason of the end of the one call of that path."""
    def find():
        calls = [e["event.id"] for e in world.events() if e.get("url.path") == path]
        return calls and [e for e in world.events(calls[0]) if e["event.action"] == "access-end"]
    return until(find, "no end's event")[0]["belfry.reason_code"]


# The four kinds


@pytest.mark.parametrize("size", [0, 1, 70000, 20_000_000])
def test_unary(world, channel, size):
    answer, call = channel.unary_unary("/test.Echo/Unary").with_call(b"u" * size, metadata=world.officer, timeout=60)
    assert answer == b"u" * size and call.code() == grpc.StatusCode.OK
    late = dict(call.trailing_metadata())
    assert dict(call.initial_metadata())["x-early"] == "1" and late["x-late"] == "2" and late["x-bin-bin"] == b"\x00\xff"


def test_client_streaming(world, channel):
    parts = (b"p" * 100_000 for _ in range(200))
    assert channel.stream_unary("/test.Echo/Gather")(parts, metadata=world.officer, timeout=60) == b"20000000"


def test_server_streaming(world, channel):
    parts = channel.unary_stream("/test.Echo/Spread")(b"200 100000", metadata=world.officer, timeout=60)
    assert sum(len(part) for part in parts) == 20_000_000


def test_both_stream_at_once(world, channel):
    answered = threading.Semaphore(1)

    def ask():
        for i in range(100):
            answered.acquire()
            yield b"%d" % i

    for i, answer in enumerate(channel.stream_stream("/test.Echo/Chat")(ask(), metadata=world.officer, timeout=60)):
        assert answer == b"you said %d" % i
        answered.release()
    assert i == 99


def test_a_reader_that_is_slow_costs_no_more_than_its_window(world, channel):
    before = world.rss_kib()
    parts = channel.unary_stream("/test.Echo/Spread")(b"300 100000", metadata=world.officer, timeout=60)
    assert len(next(parts)) == 100_000
    assert channel.unary_unary("/test.Echo/Unary")(b"beside", metadata=world.officer) == b"beside"
    assert "asan" in str(world.belfry) or world.rss_kib() < before + 20_000
    assert sum(len(part) for part in parts) == 29_900_000


def test_an_unknown_method_is_the_applications_to_refuse(world, channel):
    error = refused(lambda: channel.unary_unary("/test.Echo/Nothing")(b"", metadata=world.officer), grpc.StatusCode.UNIMPLEMENTED)
    assert error.details() == "Method not found!"


def test_an_error_of_the_application_passes_as_it_is(world, channel):
    error = refused(lambda: channel.unary_unary("/test.Echo/Fail")(b"", metadata=world.officer),
                    grpc.StatusCode.FAILED_PRECONDITION)
    assert error.details() == "not today: é%"


# Refusals


def test_without_a_token_it_is_unauthenticated(world, channel):
    error = refused(lambda: channel.unary_unary("/test.Echo/Unary")(b""), grpc.StatusCode.UNAUTHENTICATED)
    assert "identity_required" in error.details()
    assert world.decision(reference(error))["belfry.reason_code"] == "identity_required"


def test_with_a_broken_token_it_is_unauthenticated(world, channel):
    error = refused(lambda: channel.unary_unary("/test.Echo/Unary")(b"", metadata=[("authorization", "Bearer a.b.c")]),
                    grpc.StatusCode.UNAUTHENTICATED)
    assert world.decision(reference(error))["belfry.reason_code"].startswith("token_")


def test_without_a_device_permission_is_denied(world):
    with world.channel(cert=None) as channel:
        error = refused(lambda: channel.unary_unary("/test.Echo/Unary")(b"", metadata=world.officer),
                        grpc.StatusCode.PERMISSION_DENIED)
    assert world.decision(reference(error))["belfry.reason_code"] == "device_required"


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_what_no_rule_permits_is_denied_in_every_kind_of_call(world, channel, kind):
    request = b"" if kind.startswith("unary") else iter([b""] * 3)

    def call():
        made = getattr(channel, kind)("/test.Closed/Unary")(request, metadata=world.officer)
        return list(made) if kind.endswith("stream") else made

    error = refused(call, grpc.StatusCode.PERMISSION_DENIED)
    assert world.decision(reference(error))["belfry.reason_code"] == "denied"


def test_an_application_that_is_not_there_is_unavailable(world, channel, service):
    world.update("finance", lambda text: text.replace(f"127.0.0.1:{service.port}", f"127.0.0.1:{world.dead_port}"))
    error = refused(lambda: channel.unary_unary("/test.Open/Unary")(b""), grpc.StatusCode.UNAVAILABLE)
    assert "upstream_refused" in error.details() and reference(error)
    world.update("finance", lambda text: text.replace(f"127.0.0.1:{world.dead_port}", f"127.0.0.1:{service.port}"))
    assert channel.unary_unary("/test.Open/Unary")(b"x", timeout=10) == b"x"


# Deadlines, and calls that end early


def test_a_deadline_is_kept_by_the_gateway_itself(world):
    with H2(world.tls(DEAF, alpn=("h2",))) as h2:
        began = time.monotonic()
        answer = h2.ask(DEAF, "/never", method="POST", body=bytes(5), headers=[
            ("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "300m")])
    assert answer.status == 200 and answer.get("grpc-status") == "4" and answer.get("belfry-reference")
    assert 0.3 <= time.monotonic() - began < 2
    (asked,) = world.deaf.seen("/never")
    assert asked.get("grpc-timeout") == "300m" and asked.get("te") == "trailers"
    until(lambda: asked.reset == 8, "the application was not told")


def test_a_deadline_ends_a_stream_that_has_begun_with_its_status(world):
    with H2(world.tls(DEAF, alpn=("h2",))) as h2:
        stream = h2.begin(DEAF, "/pause", method="POST", body=bytes(5), headers=[
            ("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "500m")])
        h2.end(stream)
        assert h2.streams[stream][1] == b"ppppp"
        assert dict(h2.trailers[stream])["grpc-status"] == "4"
    assert ended(world, "/pause") == "upstream_timeout"


@pytest.mark.parametrize("text", ["", "5", "-1S", "1.5S", "5s", "123456789S"])
def test_a_deadline_that_is_none_is_refused(world, text):
    with H2(world.tls(HOST, alpn=("h2",))) as h2:
        answer = h2.ask(HOST, "/test.Open/Unary", method="POST", body=bytes(5), headers=[
            ("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", text)])
    assert answer.status == 200 and answer.get("grpc-status") == "3"


def test_a_clients_deadline_is_told_to_it(world, channel):
    refused(lambda: channel.unary_unary("/test.Echo/Wait")(b"", metadata=world.officer, timeout=0.3),
            grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.mark.parametrize("kind,method", [("unary_unary", "Wait"), ("unary_stream", "Forever"), ("stream_stream", "Chat")])
def test_a_cancelled_call_ends_at_the_application_at_once(world, channel, service, kind, method):
    seen = len(service.seen)
    held = threading.Event()

    def asks():
        yield b"hello"
        held.wait(30)

    call = getattr(channel, kind)(f"/test.Echo/cancelled/{method}")
    call = call.future(b"", metadata=world.officer) if kind == "unary_unary" else \
        call(asks() if kind == "stream_stream" else b"", metadata=world.officer)
    if kind != "unary_unary":
        next(call)
    until(lambda: len(service.seen) > seen, "it is not asked")
    event = service.ended["last"]
    call.cancel()
    assert event.wait(2), "the application was not told"
    held.set()
    assert ended(world, f"/test.Echo/cancelled/{method}") == "client_gone"


def test_an_application_that_stops_in_a_stream_ends_it_with_a_status(world):
    with world.channel(host=TIGHT) as channel:
        call = channel.unary_stream("/test.Echo/Forever")(b"", metadata=world.officer)
        assert next(call) == b"first"
        error = refused(lambda: next(call), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert "upstream_timeout" in error.details()


def test_access_that_is_withdrawn_ends_a_stream_with_permission_denied(world, channel, service):
    call = channel.unary_stream("/test.Echo/withdrawn/Forever")(b"busy", metadata=world.officer)
    assert next(call) == b"first"
    event = service.ended["last"]
    world.update("finance", lambda text: re.sub(r"/test\.Echo/", "/test.Gone/", text))
    error = refused(lambda: list(call), grpc.StatusCode.PERMISSION_DENIED)
    assert "access_withdrawn" in error.details() and reference(error)
    assert event.wait(2), "the application was not told"
    assert ended(world, "/test.Echo/withdrawn/Forever") == "access_withdrawn"
    world.update("finance", lambda text: re.sub(r"/test\.Gone/", "/test.Echo/", text))
    assert channel.unary_unary("/test.Echo/Unary")(b"x", metadata=world.officer) == b"x"


def test_when_the_application_goes_down_a_stream_is_unavailable(new_world):
    service = Service()
    server = grpc.server(futures.ThreadPoolExecutor(8), [service])
    with GrpcWorld(server.add_insecure_port("127.0.0.1:0")) as world:
        server.start()
        world.begin()
        with world.channel() as channel:
            call = channel.unary_stream("/test.Open/Forever")(b"")
            assert next(call) == b"first"
            server.stop(None)
            code = refused(lambda: list(call), grpc.StatusCode.UNAVAILABLE)
            assert code
