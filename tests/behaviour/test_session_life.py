# SPDX-License-Identifier: EUPL-1.2
"""How long a session lives: what its provider says of it later, also where that is lost on the way; its limits; and
that its end is told once."""

import contextlib
import os
import re
import signal

import pytest
import redis
from websockets.frames import Opcode

from callers import upgrade
from conftest import check_end
from sign_in import REDIRECTS
from test_live import Stream
from test_outages import Clocked, LaterTogether, Wired
from test_sign_in import COOKIE, EITHER, NOTES, TAX, Person
from test_two_gateways import Pair, begin_session
from world import ROOT, UNLIMITED, until

OLD_AFTER_S = 61
THERE = "/declarations/1?year=2026"


# What a provider answers is lost


class Aged(LaterTogether, Wired):
    """What is known of a person is old after a minute, and used no longer than that."""

    seconds = 0

    def grow_old(self):
        self.seconds += OLD_AFTER_S
        self.set_clock(self.seconds)


@pytest.fixture(scope="module")
def aged():
    with Aged(policies=ROOT / "tests/behaviour/policy/sign_in", workers=2, extra_config=UNLIMITED) as made:
        made.begin()
        made.tell_provider("finance", "lack", what="consent")  # who is signed in there is asked nothing
        made.update("finance", lambda text: text.replace(
            "client_id: belfry", "client_id: belfry\n      refresh_after: 1m\n      refresh_grace: 0s", 1))
        yield made
        check_end(made)
        made.provider_wire.close()
        made.store_wire.close()


@pytest.fixture
def anna(aged):
    return Person(aged, "anna")


def sign_in(person, host):
    """At the provider of finance, where there is a choice. Returns the session's handle."""
    before = len(begun(person.world))
    page = person.go(person.at(host, THERE))
    if b"provider=fas" in page.body:
        page = person.go(person.at(host, re.search(rb'href="(/[^"]*provider=fas)"', page.body)[1].decode().replace("&amp;", "&")))
    assert person.prove(page, person.name).status == 200
    return until(lambda: begun(person.world)[before:], "its beginning is told")[-1]["belfry.session"]


def begun(world):
    return [e for e in world.events() if e["event.action"] == "sign-in"]


def ends(world, handle):
    return [e["belfry.detail"] for e in world.events() if e["event.action"] == "session-end" and e["belfry.session"] == handle]


def as_script(person, host):
    return person.ask(person.at(host, THERE), headers=("accept: application/json", "sec-fetch-mode: cors"))


def provider_is_back(person, host):
    """With its answers: whoever asks now is asked about at the provider."""
    until(lambda: as_script(person, host).problem != "provider_unavailable", "the provider is not asked again")


def comes_back_unasked(person, host):
    """Opens a page, is led by the provider that they had, is asked nothing, and is where they wanted to be."""
    before = person.cookie(host)
    person.visited.clear()
    page = person.wait_through(person.ask(person.at(host, THERE)))
    while page.status in REDIRECTS:
        page = person.wait_through(person.step(page))
    assert page.status == 200 and page.url == person.at(host, THERE), (page.url, page.body[:500])
    assert not person.asked_for_a_password() and person.cookie(host) not in (None, before)


LOST = ["what the provider answered was lost: they pass by it again"]


@pytest.mark.parametrize("host", [TAX, EITHER])
def test_the_answer_to_a_refresh_is_lost_and_its_person_passes_by_the_provider_unasked(aged, anna, host):
    handle = sign_in(anna, host)
    aged.grow_old()
    aged.provider_wire.loses = b"POST /token"
    lost = aged.metric("belfry_session_refreshes_lost_total")
    with aged.provider_wire.broken("lost"):
        page = as_script(anna, host)
        assert page.status == 503 and page.problem == "provider_unavailable", "old groups open nothing"
        assert aged.provider_wire.has_lost.wait(5)
    provider_is_back(anna, host)
    page = as_script(anna, host)
    assert page.status == 401 and page.problem == "identity_required", "a script is told that nobody is signed in"
    assert aged.metric("belfry_session_refreshes_lost_total") == lost + 1
    comes_back_unasked(anna, host)
    until(lambda: ends(aged, handle), "the audit has the end")
    assert ends(aged, handle) == LOST


def test_a_gateway_that_dies_before_it_has_kept_the_answer_knows_afterwards_that_it_asked(aged, anna):
    handle = sign_in(anna, EITHER)
    aged.grow_old()
    aged.provider_wire.loses = b"POST /token"
    with aged.provider_wire.broken("held"):
        assert as_script(anna, EITHER).status == 503
        assert aged.provider_wire.has_lost.wait(5)
        aged.gateway.kill()
        aged.stop("gateway")
    aged.start_gateway()
    aged.wait_gateway()
    comes_back_unasked(anna, EITHER)
    until(lambda: ends(aged, handle), "the audit has the end")
    assert ends(aged, handle) == LOST


def test_a_refresh_token_that_came_before_the_provider_failed_counts(aged, anna):
    aged.update("finance", lambda text: text.replace("refresh_grace: 0s", "refresh_grace: 0s\n      userinfo: true"))
    try:
        handle = sign_in(anna, TAX)
        aged.grow_old()
        aged.provider_wire.loses = b"GET /me"
        with aged.provider_wire.broken("lost"):
            assert as_script(anna, TAX).status == 503
            assert aged.provider_wire.has_lost.wait(5)
        before = anna.cookie(TAX)
        provider_is_back(anna, TAX)
        assert as_script(anna, TAX).status == 200 and anna.cookie(TAX) == before, "the session goes on"
        assert ends(aged, handle) == []
    finally:
        aged.update("finance", lambda text: text.replace("\n      userinfo: true", ""))


def test_whom_the_provider_no_longer_knows_is_out_also_after_an_outage(aged):
    carine = Person(aged, "carine")
    handle = sign_in(carine, TAX)
    aged.grow_old()
    with aged.provider_wire.broken("gone"):
        assert as_script(carine, TAX).status == 503, "it was not reached: nothing is lost"
    aged.tell_provider("finance", "person", name="carine")
    provider_is_back(carine, TAX)
    assert as_script(carine, TAX).status == 401
    until(lambda: ends(aged, handle), "the audit has the end")
    assert ends(aged, handle) == ["the provider no longer vouches for them"]


def test_who_was_put_out_while_an_answer_was_lost_is_out(aged):
    bart = Person(aged, "bart")
    assert bart.open(path=THERE).status == 403, "he may not read that"
    handle = begun(aged)[-1]["belfry.session"]
    aged.grow_old()
    aged.provider_wire.loses = b"POST /token"
    with aged.provider_wire.broken("lost"):
        assert as_script(bart, TAX).status == 503
        assert aged.provider_wire.has_lost.wait(5)
    aged.tell_provider("finance", "person", name="bart")
    provider_is_back(bart, TAX)
    assert as_script(bart, TAX).status == 401
    page = bart.go(bart.at(TAX, THERE))
    assert page.status != 200 or b'id="sign-in"' in page.body, page.url
    until(lambda: ends(aged, handle), "the audit has the end")


# Limits, with two gateways and one store


class Later(Clocked, Pair):
    """Gateways and providers have one clock, which only goes forward."""

    clocked = ("gateway", "second", "idp-finance", "idp-health")
    seconds = 0

    def pass_time(self, seconds):
        self.seconds += seconds
        self.set_clock(self.seconds)

    def due(self, handle):
        """The moment at which the store expects that session's end; None: it has been told."""
        with redis.Redis(unix_socket_path=str(self.redis_socket)) as store:
            return store.zscore("belfry:sessions", handle)

    def wait_told(self, handle, why, limit_s=20):
        """Its end, by whichever gateway: once, since it is out of the index."""
        until(lambda: self.due(handle) is None, "its end is not seen", limit_s)
        end, = until(lambda: self.told(event__action="session-end", belfry__session=handle), "its end is not told")
        assert end["belfry.detail"] == why

    def wait_seen(self, handle, since):
        """That somebody was there is written down."""
        until(lambda: self.due(handle) > since, "nobody was seen")


IDLE_S, WHOLE_S = 300, 1200
IDLE, OVER = "nobody was there for too long", "its time was over"


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    for source in (ROOT / "tests/behaviour/policy/sign_in").glob("*.yaml"):
        text = source.read_text().replace("    host: strict.finance.localhost\n", f"""\
    host: strict.finance.localhost
    sessions: {{ idle: {IDLE_S}s, absolute: {WHOLE_S}s }}
    websocket: {{}}
""")
        (folder / source.name).write_text(text)
    with Later(policies=folder, workers=2, extra_config=UNLIMITED) as made:
        made.begin()
        yield made
        check_end(made)


@pytest.fixture
def visit(later):
    """Somebody who signs in at the notes, and their session's handle."""
    def begin(gateway=0):
        later.to(gateway)
        anna = Person(later, "anna")
        return anna, begin_session(later, anna, NOTES)

    return begin


def opens(person):
    """Whether they are still signed in; nobody is led anywhere by asking."""
    return as_script(person, NOTES).status


def opens_at(world, gateway, person):
    world.to(gateway)
    return opens(person)


def stream_of(person, http="1.1"):
    return Stream(person.world, NOTES, http, person.cert, cookie=f"{COOKIE}={person.cookie(NOTES)}")


def test_who_is_away_for_too_long_is_out_and_who_is_there_goes_on_until_the_end(later, visit):
    (idle, idle_handle), (used, used_handle), (reader, reader_handle), (talker, talker_handle) = (visit() for _ in range(4))
    later.to(0)
    with stream_of(reader) as events, stream_of(reader, "2") as events_h2:
        answer, socket, *_ = upgrade(later, NOTES, "/ws", [f"cookie: {COOKIE}={talker.cookie(NOTES)}"], cert=talker.cert)
        assert answer.status == 101
        with socket:
            for passed in range(1, 5):  # by 240 s each
                now = later.due(used_handle)
                later.pass_time(240)
                later.to(passed % 2)
                assert opens(used) == 200
                for handle in (used_handle, reader_handle, talker_handle):
                    if passed < 4:  # then its end is nearer than that
                        later.wait_seen(handle, now)
                if passed == 2:
                    for gateway in (0, 1):
                        later.to(gateway)
                        assert opens(idle) == 401
                    later.wait_told(idle_handle, IDLE)
            assert opens(used) == 200 and later.due(used_handle) is not None
            later.pass_time(WHOLE_S - 4 * 240 + 1)
            for gateway in (0, 1):
                later.to(gateway)
                assert opens(used) == 401, "whatever they do"
            for cut in (events, events_h2):
                cut.is_cut("session_ended")
            frame = socket.frame()
            assert frame.opcode == Opcode.CLOSE
    for handle in (used_handle, reader_handle, talker_handle):
        later.wait_told(handle, OVER)


def test_a_session_that_ended_while_no_gateway_was_there_is_told_after_the_start(later, visit):
    (anna, handle), (other, other_handle) = visit(), visit()
    for name in ("gateway", "second"):
        later.stop(name)
    later.pass_time(IDLE_S + 30)
    later.start_gateways()
    for gateway in (0, 1):
        later.to(gateway)
        assert opens(anna) == 401
    later.wait_told(handle, IDLE)
    later.wait_told(other_handle, IDLE)


@contextlib.contextmanager
def no_store(world):
    pid = world.processes["redis"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: world.metric_of_both("belfry_store_connected") == 0, "it is not noticed", 25)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: world.metric_of_both("belfry_store_connected") == 2, "it does not connect again", 15)


def test_nobody_is_idle_because_the_store_was_away(later, visit):
    (idle, idle_handle), (used, used_handle) = visit(), visit()
    later.to(0)
    for _ in range(4 * later.workers):  # each worker knows them
        assert (opens(idle), opens(used)) == (200, 200)
    with no_store(later):
        for _ in range(3):
            later.pass_time(240)
            for _ in range(4 * later.workers):
                assert opens(used) == 200
        assert opens(idle) == 503, "whether they were at another gateway nobody knows"
    until(lambda: opens_at(later, 0, used) == 200 and opens_at(later, 1, used) == 200, "signed out by an outage")
    assert opens_at(later, 0, idle) == opens_at(later, 1, idle) == 401
    later.pass_time(240)
    assert opens(used) == 200
    assert later.told(event__action="session-end", belfry__session=idle_handle) == [], "others may have been seen meanwhile"
    later.pass_time(IDLE_S - 240 + 30)
    later.wait_told(idle_handle, IDLE)
    assert opens(used) == 200 and later.told(event__action="session-end", belfry__session=used_handle) == []


def test_a_session_whose_time_is_over_while_the_store_is_away_ends_then_and_is_told_once(later, visit):
    anna, handle = visit()
    assert opens(anna) == 200
    with stream_of(anna) as events, no_store(later):
        later.pass_time(WHOLE_S + 1)
        events.is_cut("session_ended")
        assert opens(anna) == 503
    until(lambda: opens(anna) == 401, "it goes on")
    later.wait_told(handle, OVER)
