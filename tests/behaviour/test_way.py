# SPDX-License-Identifier: EUPL-1.2
"""The way of a request that is let in, over both protocols."""

import email.utils

import pytest


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_an_authorised_request_reaches_the_application(world, http):
    token = world.token("finance", "anna")
    answer = world.ask("tax.finance.localhost", "/declarations/12?year=2026", cert="laptop-0001", token=token, http=http)
    assert answer.status == 200 and answer.body == b"GET /declarations/12?year=2026 0"
    (seen,) = world.origin.seen("/declarations/12?year=2026")
    assert seen.get("authorization") is None and seen.get("belfry-assertion")


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_every_answer_has_its_date_and_an_applications_own_is_kept(world, http):
    for path, cert in (("/bytes/1", None), ("/no/../path", None)):
        (date,) = world.ask("open.finance.localhost", path, http=http, cert=cert).all("date")
        assert email.utils.parsedate_to_datetime(date)
    (date,) = world.ask("open.finance.localhost", "/.belfry/jwks.json", http=http).all("date")
    assert email.utils.parsedate_to_datetime(date)
    theirs = b"HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 0\r\n\r\n"
    answer = world.ask("open.finance.localhost", f"/answers/{theirs.hex()}", http=http)
    assert answer.all("date") == ["Sun, 06 Nov 1994 08:49:37 GMT"]


def test_a_charter_alone_is_checked_and_said_to_be_good(world):
    said = world.command("policy", "check", "--charter", world.folder / "policy/charter.yaml")
    assert "charter.yaml: good: charter, serial 1, 2 entities" in said
