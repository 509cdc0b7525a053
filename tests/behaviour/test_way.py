# SPDX-License-Identifier: EUPL-1.2
"""The way of a request that is let in, over both protocols."""

import pytest


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_an_authorised_request_reaches_the_application(world, http):
    token = world.token("finance", "anna")
    answer = world.ask("tax.finance.localhost", "/declarations/12?year=2026", cert="laptop-0001", token=token, http=http)
    assert answer.status == 200 and answer.body == b"GET /declarations/12?year=2026 0"
    (seen,) = world.origin.seen("/declarations/12?year=2026")
    assert seen.get("authorization") is None and seen.get("belfry-assertion")
