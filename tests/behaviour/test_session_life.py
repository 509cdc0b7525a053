# SPDX-License-Identifier: EUPL-1.2
"""How long a session lives: what its provider says of it later, also where that is lost on the way; its limits; and
that its end is told once."""

import os
import re

import pytest

from conftest import check_end
from sign_in import REDIRECTS
from test_outages import LaterTogether, Wired
from test_sign_in import COOKIE, EITHER, TAX, Person
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
