# SPDX-License-Identifier: EUPL-1.2
"""What HTTP/2 has beyond requests and answers: whose bytes go first, and a connection that ends without losing one."""

import time

import pytest
from hpack import NeverIndexedHeaderTuple

from callers import H2, Ended
from h2_raw import Raw
from world import World, until

OPEN = "open.finance.localhost"
DATA = 0
ALL = 2**31 - 1
WINDOW = 65535  # of a connection, at its start
PRIORITY_UPDATE = 0x10


@pytest.fixture(scope="module")
def single():
    """One worker: what one connection has done, the next one sees done."""
    with World(workers=1) as made:
        yield made.begin()
        assert made.stop("gateway", patience_s=20) == 0


class Narrow(H2):
    """Its connection's window is used up by a first answer; then answers wait, until `opened` says in which order they
    came."""

    def __init__(self, world):
        super().__init__(world.tls(OPEN, alpn=("h2",)))
        self.world = world
        self.connection.acknowledge_received_data = lambda *_: None
        self.connection.update_settings({4: 1 << 20})
        self.flush()
        assert len(self.ask(OPEN, f"/bytes/{WINDOW}").body) == WINDOW

    def head(self, stream):
        while self.streams[stream][0] is None:
            self.turn()

    def opened(self):
        """The streams of the DATA frames that come, in their order, each once in a row."""
        assert self.world.ask(OPEN, "/sync").status == 200  # so long the origin had for its bodies
        self.frames.clear()
        self.connection.increment_flow_control_window(1 << 20)
        self.flush()
        for stream in list(self.streams):
            self.end(stream)
        order = []
        for kind, _, stream in self.frames:
            if kind == DATA and order[-1:] != [stream]:
                order.append(stream)
        return order

    def update(self, stream, value):
        """RFC 9218 §7.1."""
        payload = stream.to_bytes(4, "big") + value
        self.tls.sendall(len(payload).to_bytes(3, "big") + bytes([PRIORITY_UPDATE, 0, 0, 0, 0, 0]) + payload)


def test_what_differs_in_each_answer_is_in_the_table_only_for_its_name(single):
    """Its entries would push out what comes again, and every search would pass them all."""
    with Raw(single, OPEN) as raw:
        for stream in (1, 3, 5, 7):
            raw.get(stream)
            assert raw.outcome(stream)[0] == 200
            kinds = {name: type(pair) for pair in raw.fields[stream] for name in pair[:1]}
            never = [n for n, kind in kinds.items() if kind is NeverIndexedHeaderTuple]
            assert never == ([] if stream == 1 else ["belfry-reference"])
        kept = [value for name, value in raw.decoder.header_table.dynamic_entries if name == b"belfry-reference"]
        assert kept == [dict(raw.fields[1])["belfry-reference"].encode()]


# (name, value) of the first and of the second of two, and which ends first
ORDERS = {
    "none": ((), (), "first"),
    "less urgent": ([("priority", "u=5")], (), "second"),
    "more urgent": ((), [("priority", "u=1, i=?0")], "second"),
    "both incremental": ([("priority", "i")], [("priority", "u=3,i")], "both"),
    "out of range": ([("priority", "u=8")], [("priority", "u=-1")], "first"),
}


@pytest.mark.parametrize("order", ORDERS)
def test_answers_go_out_by_their_urgency_and_then_by_their_order(single, order):
    first, second, ends = ORDERS[order]
    with Narrow(single) as h2:
        streams = [h2.begin(OPEN, "/bytes/50000", headers=first)]
        h2.head(streams[0])
        streams.append(h2.begin(OPEN, "/bytes/50001", headers=second))
        h2.head(streams[1])
        got = h2.opened()
        if ends == "both":
            assert len(got) > 3, "they do not take turns"
        else:
            assert got == (streams if ends == "first" else streams[::-1])


def test_a_client_may_change_its_mind_about_what_is_urgent(single):
    with Narrow(single) as h2:
        streams = [h2.begin(OPEN, f"/bytes/{50000 + i}") for i in range(2)]
        for stream in streams:
            h2.head(stream)
        h2.update(streams[1], b"u=0")
        assert h2.opened() == streams[::-1]


def test_an_application_may_say_what_is_urgent(single):
    """RFC 9218 §8: what it does not say stays as the client said."""
    with Narrow(single) as h2:
        late = h2.begin(OPEN, "/priority/u=7/50000")
        h2.head(late)
        soon = h2.begin(OPEN, "/bytes/50000")
        h2.head(soon)
        assert h2.opened() == [soon, late]


# The end


def drain(world):
    world.gateway.send_signal(15)


def test_a_request_that_crosses_the_first_goaway_is_served(new_world):
    """The second names it as the last one taken; what comes after that is not."""
    world = new_world(workers=1)
    h2 = H2(world.tls(OPEN, alpn=("h2",)))
    assert h2.ask(OPEN, "/before").status == 200
    drain(world)
    sends, h2.flush = h2.flush, lambda: None
    while not h2.last_streams:
        h2.turn()
    assert h2.last_streams == [ALL] and h2.goaway == 0
    h2.connection.clear_outbound_data_buffer()  # the answer to its PING: this client is far away
    h2.flush = sends
    crossing = h2.begin(OPEN, "/crossing")
    assert h2.end(crossing).status == 200
    with pytest.raises(Ended):
        while True:
            h2.turn()
    assert h2.last_streams == [ALL, crossing] and h2.goaway == 0
    h2.tls.close()
    assert world.gateway.wait(10) == 0


def test_the_second_goaway_comes_with_the_answer_to_a_ping(new_world):
    world = new_world(workers=1)
    h2 = H2(world.tls(OPEN, alpn=("h2",)))
    under_way = h2.begin(OPEN, "/wait/under-way")
    until(lambda: world.origin.seen("/wait/under-way"), "it did not arrive")
    began = time.monotonic()
    drain(world)
    while len(h2.last_streams) < 2:
        h2.turn()
    assert time.monotonic() - began < 0.9, "it waited for a clock"
    assert h2.last_streams == [ALL, under_way]
    h2.begin(OPEN, "/after")
    world.origin.release.set()
    assert h2.end(under_way).status == 200
    with pytest.raises(Ended):
        while True:
            h2.turn()
    assert not world.origin.seen("/after")
    h2.tls.close()
    assert world.gateway.wait(10) == 0


def test_a_quiet_connection_ends_with_two_goaways_too():
    with World(workers=1, extra_config="timeouts: { keepalive: 1s }\n") as world:
        world.begin()
        h2 = H2(world.tls(OPEN, alpn=("h2",)))
        assert h2.ask(OPEN, "/once").status == 200
        with pytest.raises(Ended):
            while True:
                h2.turn()
        assert h2.last_streams == [ALL, 1] and h2.goaway == 0
        h2.tls.close()
