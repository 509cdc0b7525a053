# SPDX-License-Identifier: EUPL-1.2
"""Several upstreams behind one application: who is asked, who is left alone, who waits, and what is asked once more."""

import contextlib
import re
import socket
import threading
import time

import pytest

from callers import H2, Reset, read_answer
from conftest import check_end
from origin import Origin
from world import Stopped, World, free_port, until

HOST = "many.finance.localhost"
OTHER = "more.finance.localhost"


class Node(Origin):
    """One upstream of several. `mode` says how it answers what its paths don't know."""

    def __init__(self, mode="well"):
        self.mode = mode
        self.turns = threading.Semaphore(0)  # what "held" waits for, once a request
        self.delay_s = 0
        super().__init__()

    def _answer(self, peer, request, path):
        if self.mode == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            return False
        if self.mode == "held":
            self.turns.acquire(timeout=30)
        if isinstance(self.mode, int):
            peer.sendall(f"HTTP/1.1 {self.mode} Whatever\r\ncontent-length: 0\r\n\r\n".encode())
            return True
        if self.delay_s:
            time.sleep(self.delay_s)
        return super()._answer(peer, request, path)

    def end(self):
        self.listener.close()
        for peer in list(self.peers.values()):
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def gate():
    """One worker: what it has learnt of an application's upstreams is what the tests see."""
    with World(workers=1, hosts=[HOST, OTHER]) as made:
        yield made.begin()
        check_end(made)


def publish(world, ports, more="", count=[0]):
    """An application of the test's own on HOST, with nothing that was learnt of an earlier one."""
    count[0] += 1
    change(world, f"many-{count[0]}", ports, more)


def change(world, name, ports, more=""):
    upstreams = ", ".join(f"http://127.0.0.1:{port}" for port in ports)
    app = (f"\n  - id: {name}\n    host: {HOST}\n    device: none\n    upstreams: [{upstreams}]\n"
           + "".join(f"    {line}\n" for line in more.split("\n") if line)
           + "    rules:\n      - id: everybody\n        permit: {}\n")
    world.update("finance", lambda text: re.sub(r"(?s)\n  - id: many-.*", "", text) + app)


def nodes_of(world, count, more="", modes=()):
    nodes = [Node(mode) for mode in modes] or [Node() for _ in range(count)]
    publish(world, [n.port for n in nodes], more)
    return nodes


class Rise:
    """By how much a metric has risen since."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.before = world.metric(name)

    @property
    def by(self):
        return self.world.metric(self.name) - self.before


def line(world):
    return H2(world.tls(HOST, alpn=("h2",)))


def flow(h2, count, at_once, path="/"):
    """So many requests, so many at a time; the statuses."""
    statuses, under_way, begun = [], [], 0
    while len(statuses) < count:
        while begun < count and len(under_way) < at_once:
            under_way.append(h2.begin(HOST, path))
            begun += 1
        over = [s for s in under_way if h2.streams[s][2] or h2.streams[s][3] is not None]
        for s in over:
            under_way.remove(s)
            statuses.append(h2.end(s).status)
        if not over:
            h2.turn()
    return statuses


# Who is asked


def test_load_spreads_and_a_slow_upstream_gets_less(gate):
    quick, slow, other = nodes_of(gate, 3)
    slow.delay_s = 0.02
    with line(gate) as h2:
        assert flow(h2, 300, 12) == [200] * 300
    counts = [len(n.requests) for n in (quick, slow, other)]
    assert sum(counts) == 300 and counts[1] > 0
    assert counts[1] < min(counts[0], counts[2]) / 2, counts


def test_equal_upstreams_get_about_the_same(gate):
    nodes = nodes_of(gate, 4)
    with line(gate) as h2:
        flow(h2, 400, 8)
    assert all(50 < len(n.requests) < 170 for n in nodes), [len(n.requests) for n in nodes]


def test_one_that_refuses_is_gone_around_and_after_five_times_left_alone(gate):
    (good,), dead = [Node()], free_port()
    publish(gate, [good.port, dead])
    ejections, retries = Rise(gate, "belfry_upstream_ejections_total"), Rise(gate, "belfry_upstream_retries_total")
    with line(gate) as h2:
        for _ in range(200):
            assert h2.ask(HOST).status == 200
            if ejections.by:
                break
        assert ejections.by == 1 and retries.by == 5
        for _ in range(60):
            assert h2.ask(HOST).status == 200
    assert ejections.by == 1 and retries.by == 5


@pytest.mark.long
def test_one_that_was_left_alone_comes_back_after_its_rest(gate):
    good, weak = nodes_of(gate, 0, modes=("well", 503))
    ejections = Rise(gate, "belfry_upstream_ejections_total")
    with line(gate) as h2:
        until(lambda: h2.ask(HOST) and ejections.by, "it is not left alone")
        begun, seen, weak.mode = time.monotonic(), len(weak.requests), "well"
        until(lambda: h2.ask(HOST).status == 200 and len(weak.requests) > seen, "it does not come back", limit_s=20)
    assert 9 < time.monotonic() - begun < 13


@pytest.mark.parametrize("count, rest", [(2, 1), (3, 1), (4, 2), (5, 2)])
def test_never_more_than_half_of_them_rest(gate, count, rest):
    nodes_of(gate, 0, modes=[503] * count)
    ejections = Rise(gate, "belfry_upstream_ejections_total")
    with line(gate) as h2:
        assert flow(h2, 100, 4) == [503] * 100  # the application's own answer
    assert ejections.by == rest


@pytest.mark.parametrize("status, counts", [(502, True), (503, True), (504, True), (500, False), (404, False)])
def test_an_answer_that_says_trouble_counts_as_a_failure(gate, status, counts):
    good, weak = nodes_of(gate, 0, modes=("well", status))
    ejections = Rise(gate, "belfry_upstream_ejections_total")
    with line(gate) as h2:
        assert set(flow(h2, 60, 1)) == {200, status}
        assert ejections.by == counts
        seen = len(weak.requests)
        assert seen == 5 or not counts
        assert (set(flow(h2, 40, 1)) == {200}) == counts
    assert (len(weak.requests) == seen) == counts


def test_failures_that_do_not_follow_one_another_eject_nobody(gate):
    good, weak = nodes_of(gate, 2)
    ejections = Rise(gate, "belfry_upstream_ejections_total")
    with line(gate) as h2:
        for i in range(60):
            weak.mode = 503 if len(weak.requests) % 5 else "well"  # four, and then it is well again
            h2.ask(HOST)
    assert len(weak.requests) > 10 and ejections.by == 0


def test_a_client_that_breaks_its_requests_ejects_nobody(gate):
    good, other = nodes_of(gate, 2)
    ejections = Rise(gate, "belfry_upstream_ejections_total")
    for _ in range(24):
        with gate.tls(HOST) as tls:
            tls.sendall(f"POST / HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n".encode())
            assert read_answer(tls)[0].status == 400
    until(lambda: gate.metric("belfry_requests_open") == 0, "something is under way")
    assert ejections.by == 0


def test_where_the_well_ones_are_busy_nobody_is_sent_to_one_that_rests(gate):
    good, weak = nodes_of(gate, 0, "max_connections: 1\nqueue: 8", modes=("well", 503))
    ejections = Rise(gate, "belfry_upstream_ejections_total")
    with line(gate) as h2:
        until(lambda: h2.ask(HOST) and ejections.by, "it is not left alone")
        seen = len(weak.requests)
        assert flow(h2, 40, 4) == [200] * 40
    assert len(weak.requests) == seen


# Who waits


def queue_of(world, more="max_connections: 1\nqueue: 3"):
    (node,) = nodes_of(world, 0, more, modes=("held",))
    return node


def begun(node, count):
    until(lambda: len(node.requests) == count, f"not {count} requests")


def in_queue(world, queued, count):
    until(lambda: queued.by == count, f"not {count} in the queue")


def test_as_many_as_the_queue_holds_wait_and_have_their_turn_in_order(gate):
    node = queue_of(gate)
    queued = Rise(gate, "belfry_upstream_queued_total")
    with line(gate) as h2:
        streams = []
        for i in range(4):
            streams.append(h2.begin(HOST, f"/{i}"))
            in_queue(gate, queued, i) if i else begun(node, 1)
        late = h2.ask(HOST, "/late")
        assert (late.status, late.problem) == (503, "upstream_busy")
        assert late.get("proxy-status") == "belfry; error=connection_limit_reached"
        assert len(node.requests) == 1
        for _ in streams:
            node.turns.release()
        assert [h2.end(s).status for s in streams] == [200] * 4
    assert [r.target for r in node.requests] == ["/0", "/1", "/2", "/3"] and node.connections == 1
    assert queued.by == 3


def test_who_comes_when_room_is_there_waits_behind_those_who_wait(gate):
    node = queue_of(gate, "max_connections: 1\nqueue: 20")
    queued = Rise(gate, "belfry_upstream_queued_total")
    with line(gate) as h2, gate.tls(HOST) as other:
        streams = [h2.begin(HOST, "/0")]
        begun(node, 1)
        for i in (1, 2):
            streams.append(h2.begin(HOST, f"/{i}"))
            in_queue(gate, queued, i)
        with Stopped(gate):
            node.turns.release()
            time.sleep(0.05)  # the answer lies in the gateway's socket, before the request does
            other.sendall(f"GET /new HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
        for i in range(3):
            begun(node, 2 + i)
            node.turns.release()
        assert [h2.end(s).status for s in streams] == [200] * 3
        assert read_answer(other)[0].status == 200
    assert [r.target for r in node.requests] == ["/0", "/1", "/2", "/new"]
    assert queued.by == 3


def test_without_a_queue_nobody_waits(gate):
    node = queue_of(gate, "max_connections: 2\nqueue: 0")
    with line(gate) as h2:
        held = [h2.begin(HOST, f"/{i}") for i in range(2)]
        begun(node, 2)
        assert h2.ask(HOST, "/late").problem == "upstream_busy"
        node.turns.release(2)
        assert [h2.end(s).status for s in held] == [200, 200]


def test_who_has_waited_too_long_is_told_so(gate):
    node = queue_of(gate, "max_connections: 1\nqueue: 9\ntimeouts: { queue: 400ms }")
    with line(gate) as h2:
        first = h2.begin(HOST, "/0")
        begun(node, 1)
        since = time.monotonic()
        answer = h2.ask(HOST, "/1")
        assert (answer.status, answer.problem) == (503, "upstream_busy")
        assert 0.39 < time.monotonic() - since < 2
        node.turns.release()
        assert h2.end(first).status == 200
        assert [r.target for r in node.requests] == ["/0"]


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_a_client_that_goes_away_leaves_the_queue(gate, http):
    node = queue_of(gate, "max_connections: 1\nqueue: 1")
    queued = Rise(gate, "belfry_upstream_queued_total")
    with line(gate) as h2:
        first = h2.begin(HOST, "/0")
        begun(node, 1)
        if http == "2":
            gone = h2.begin(HOST, "/gone")
            in_queue(gate, queued, 1)
            h2.connection.reset_stream(gone, 8)
            h2.flush()
        else:
            with gate.tls(HOST) as tls:
                tls.sendall(f"GET /gone HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
                in_queue(gate, queued, 1)
        until(lambda: gate.metric("belfry_requests_open") == 1, "it is still there")
        second = h2.begin(HOST, "/1")  # there is room for it
        in_queue(gate, queued, 2)
        node.turns.release(3)
        assert [h2.end(s).status for s in (first, second)] == [200, 200]
    assert [r.target for r in node.requests] == ["/0", "/1"]


def test_who_waits_for_upstreams_that_a_publish_replaces_goes_to_the_new_ones(gate):
    old, new = Node("held"), Node()
    publish(gate, [old.port], "max_connections: 1\nqueue: 9")
    queued = Rise(gate, "belfry_upstream_queued_total")
    with line(gate) as h2:
        first = h2.begin(HOST, "/0")
        begun(old, 1)
        streams = [h2.begin(HOST, f"/{i}") for i in (1, 2)]
        in_queue(gate, queued, 2)
        publish(gate, [new.port], "max_connections: 1\nqueue: 9")
        assert [h2.end(s).status for s in streams] == [200, 200]
        old.turns.release()
        assert h2.end(first).status == 200
    assert len(old.requests) == 1 and len(new.requests) == 2


# What is asked once more


def test_two_applications_change_their_hosts_while_somebody_waits(gate):
    """Who waits goes where the host leads now, and the application that is elsewhere is found there."""
    a, b = Node("held"), Node()

    def places(of_a, of_b):
        apps = "".join(f"\n  - id: many-{name}\n    host: {host}\n    device: none\n    max_connections: 1\n"
                       f"    upstreams: [http://127.0.0.1:{node.port}]\n    rules:\n      - id: everybody\n"
                       "        permit: {}\n" for name, host, node in (("a", of_a, a), ("b", of_b, b)))
        gate.update("finance", lambda text: re.sub(r"(?s)\n  - id: many-.*", "", text) + apps)

    places(HOST, OTHER)
    queued = Rise(gate, "belfry_upstream_queued_total")
    with line(gate) as h2:
        first = h2.begin(HOST, "/first")
        until(lambda: a.seen("/first"), "it is not asked")
        waits = h2.begin(HOST, "/second")
        until(lambda: queued.by == 1, "it does not wait")
        places(OTHER, HOST)
        assert h2.end(waits).status == 200 and b.seen("/second")
        a.turns.release(2)
        assert gate.ask(OTHER, "/a").status == 200 and a.seen("/a")
        assert h2.end(first).status == 200
    for node in (a, b):
        node.end()


@pytest.mark.parametrize("retries", [0, 1, 3, 5])
def test_as_many_retries_as_the_application_says(gate, retries):
    (node,) = nodes_of(gate, 0, f"retries: {retries}", modes=("reset",))
    with line(gate) as h2:
        answer = h2.ask(HOST, "/again")
    assert (answer.status, answer.problem) == (502, "upstream_broken")
    assert len(node.requests) == retries + 1


@pytest.mark.parametrize("retries", [0, 1])
def test_a_pooled_connection_that_had_ended_costs_no_retry(gate, retries):
    (node,) = nodes_of(gate, 1, f"retries: {retries}")
    with line(gate) as h2:
        assert h2.ask(HOST).status == 200
        node.mode = "reset"
        assert h2.ask(HOST, "/again").status == 502
    assert len(node.seen("/again")) == retries + 2


@pytest.mark.parametrize("retries", [0, 2])
def test_retries_when_nobody_listens(gate, retries):
    dead = free_port()
    publish(gate, [dead], f"retries: {retries}")
    connects = Rise(gate, "belfry_upstream_connects_total")
    assert gate.ask(HOST, "/", method="POST", body=b"nobody has seen it", http="2").problem == "upstream_refused"
    assert connects.by == retries + 1


@pytest.mark.parametrize("body", [None, b"", b"some"])
def test_post_is_asked_once(gate, body):
    (node,) = nodes_of(gate, 0, "retries: 5", modes=("reset",))
    with line(gate) as h2:
        assert h2.ask(HOST, "/once", method="POST", body=body).status == 502
    assert len(node.requests) == 1


def test_put_is_asked_once_where_some_of_its_body_was_sent(gate):
    (node,) = nodes_of(gate, 0, "retries: 5", modes=("reset",))
    with line(gate) as h2:
        assert h2.ask(HOST, "/once", method="PUT", body=b"some").status == 502
    assert len(node.requests) == 1


def test_an_upstream_that_fails_always_sees_a_fifth_more_and_no_more(gate):
    (node,) = nodes_of(gate, 0, "retries: 5", modes=("reset",))
    with line(gate) as h2:
        assert flow(h2, 200, 4) == [502] * 200
    assert 200 < len(node.requests) <= 200 * 1.2 + 10  # and what a new application has saved


def test_waiting_earns_no_retries(gate):
    (node,) = nodes_of(gate, 0, "retries: 5\nmax_connections: 1\nqueue: 50", modes=("reset",))
    queued = Rise(gate, "belfry_upstream_queued_total")
    with line(gate) as h2:
        assert flow(h2, 200, 20) == [502] * 200
    assert queued.by > 100 and len(node.requests) <= 200 * 1.2 + 10


def test_one_that_fails_is_not_asked_again_where_there_is_another(gate):
    good, weak = nodes_of(gate, 0, modes=("well", "reset"))
    with line(gate) as h2:
        assert flow(h2, 40, 1) == [200] * 40
    assert len(weak.requests) == 5 and len(good.requests) == 40


# How long it may take


def test_a_long_answer_is_cut_when_its_whole_time_is_over(gate):
    (node,) = nodes_of(gate, 1, "timeouts: { total: 500ms }")
    with line(gate) as h2:
        stream = h2.begin(HOST, "/pause/5")
        with pytest.raises(Reset):
            h2.end(stream)
        assert h2.streams[stream][1] == b"ppppp"
        reference = dict(h2.streams[stream][0])["belfry-reference"]
    (end,) = until(lambda: [e for e in gate.events(reference) if e["event.action"] == "access-end"], "no end")
    assert end["belfry.reason_code"] == "upstream_timeout" and end["belfry.detail"] == "its whole time is over"
    with gate.tls(HOST) as tls:
        tls.sendall(f"GET /pause/5 HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
        assert b"".join(iter(lambda: tls.recv(65536), b"")).endswith(b"\r\n\r\nppppp")
    node.release.set()


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_without_a_head_in_its_whole_time_it_is_a_504(gate, http):
    (node,) = nodes_of(gate, 1, "timeouts: { total: 300ms }")
    answer = gate.ask(HOST, "/never", http=http)
    assert (answer.status, answer.problem) == (504, "upstream_timeout")


def test_interim_answers_without_end_bring_nobody_anywhere(gate):
    """They neither keep the request alive for ever nor pile up."""
    (node,) = nodes_of(gate, 1, "timeouts: { first_byte: 1s }")
    early = b"HTTP/1.1 103 Early Hints\r\nlink: <" + b"a" * 8000 + b">\r\n\r\n"
    done = threading.Event()

    def talk(peer, request, path):
        with contextlib.suppress(OSError):
            while not done.is_set():
                peer.sendall(early)
                time.sleep(0.0005)
        return False

    node._answer = talk
    before = gate.rss_kib()
    try:
        with line(gate) as h2:
            answer = h2.ask(HOST)
    finally:
        done.set()
    assert (answer.status, answer.problem) == (504, "upstream_timeout")
    assert gate.rss_kib() < before + 4096


# When the list changes


def test_a_publish_keeps_the_connections_of_those_who_stay_and_ends_those_of_others(gate):
    stays, goes = Node(), Node()
    publish(gate, [stays.port, goes.port])
    name = re.findall(r"id: (many-\d+)", (gate.folder / "policy/finance.yaml").read_text())[0]
    with line(gate) as h2:
        flow(h2, 40, 4)
        assert stays.open and goes.open
        kept = set(stays.peers)
        change(gate, name, [stays.port])
        until(lambda: not goes.peers, "idle connections to one that is gone are open")
        assert flow(h2, 20, 1) == [200] * 20
    assert set(stays.peers) == kept and len(goes.requests) + len(stays.requests) == 60


def test_an_application_that_is_gone_keeps_no_connection(gate):
    node, other = Node(), Node()
    publish(gate, [node.port])
    with line(gate) as h2:
        flow(h2, 20, 4)
        assert node.peers
        publish(gate, [other.port])
        until(lambda: not node.peers, "a connection to it is open")


def test_an_answer_that_streams_survives_its_upstream_leaving_the_list(gate):
    old, new = Node(), Node()
    publish(gate, [old.port])
    with line(gate) as h2:
        stream = h2.begin(HOST, "/pause/5")
        while not h2.streams[stream][1]:
            h2.turn()
        publish(gate, [new.port])
        assert h2.ask(HOST, "/new").status == 200 and len(new.requests) == 1
        old.release.set()
        answer = h2.end(stream)
        assert answer.body == b"ppppp!"
    until(lambda: not old.peers, "its connection went back to a pool that is gone")


def test_upstreams_come_and_go_under_load(gate):
    """Queued, connecting, streaming, failing: all of them while the list changes."""
    nodes = [Node(), Node("reset"), Node(503), Node()]
    nodes[0].delay_s = 0.003
    dead = free_port()
    lists = [[nodes[0].port], [nodes[0].port, dead], [nodes[1].port, nodes[3].port, dead], [nodes[2].port, nodes[3].port],
             [nodes[3].port, nodes[0].port]]
    publish(gate, lists[0], "max_connections: 2\nqueue: 30\nretries: 2")
    stop, wrong = threading.Event(), []

    def load(number):
        try:
            with line(gate) as h2:
                while not stop.is_set():
                    under_way = [h2.begin(HOST, path) for path in ("/", "/bytes/100000", "/chunked/70000", "/short", "/")]
                    under_way.append(h2.begin(HOST, "/", method="POST", body=b"b" * 2000))
                    gone = h2.begin(HOST, "/bytes/1000000")
                    h2.turn()
                    if not h2.streams[gone][2] and h2.streams[gone][3] is None:
                        h2.connection.reset_stream(gone, 8)
                        h2.flush()
                    for s in under_way:
                        try:
                            h2.end(s)
                        except Reset:
                            pass
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            wrong.append(repr(error))

    threads = [threading.Thread(target=load, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for i in range(20):
        publish(gate, lists[i % len(lists)], "max_connections: 2\nqueue: 30\nretries: 2")
        name = re.findall(r"id: (many-\d+)", (gate.folder / "policy/finance.yaml").read_text())[0]
        change(gate, name, lists[(i + 1) % len(lists)], "max_connections: 1\nqueue: 5\nretries: 1")
    stop.set()
    for t in threads:
        t.join(30)
    assert not wrong and not any(t.is_alive() for t in threads)
    until(lambda: gate.metric("belfry_requests_open") == 0, "something is under way")
    assert gate.gateway.poll() is None
