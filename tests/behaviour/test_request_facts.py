# SPDX-License-Identifier: EUPL-1.2
"""What rules read of a request beyond method and path: a segment by name, the query's parameters, declared headers. In both
protocols, and again when the rules change."""

import pytest

from conftest import check_end
from world import World

DESK = "facts.finance.localhost"
RULES = """
      - id: own-case
        permit: { paths: ["/cases/{case}/**"] }
        when: path.case in ["12", "13"]
      - id: by-query
        permit: { paths: ["/query"] }
        when: request.query_parameters["case"] == ["a b"]
      - id: by-header
        permit: { paths: ["/header"] }
        when: request.headers["x-case-id"] == ["12"]
      - id: sealed
        forbid: { paths: ["/cases/{case}/sealed"] }
        when: '!("break-glass" in request.query_parameters)'
"""


@pytest.fixture(scope="module")
def gate():
    with World(workers=2, hosts=[DESK]) as made:
        made.begin()
        made.update("finance", lambda text: text + f"""
  - id: facts
    host: {DESK}
    device: none
    upstreams: [http://127.0.0.1:{made.origin.port}]
    facts: {{ headers: [x-case-id] }}
    rules:{RULES}""")
        yield made
        check_end(made)


CASES = [("/cases/12/x", (), 200), ("/cases/1%32", (), 200), ("/cases/14/x", (), 403), ("/cases/12/sealed", (), 403),
         ("/cases/12/sealed?break-glass", (), 200), ("/cases/12/sealed?x=1;break-glass", (), 403),
         ("/query?case=a+b", (), 200), ("/query?case=a+b&case=c", (), 403), ("/query?case=c&case=a+b", (), 403),
         ("/query", (), 403), ("/header", ["x-case-id: 12"], 200), ("/header", ["X-Case-ID: 12"], 200),
         ("/header", ["x-case-id: 12", "x-case-id: 13"], 403), ("/header", ["x-case-id: 12, 13"], 403),
         ("/header", ["x-case-id: 12", "x_case_id: 13"], 403), ("/header", ["x-case-id;"], 403), ("/header", (), 403)]


@pytest.mark.parametrize("http", ["1.1", "2"])
@pytest.mark.parametrize("path, headers, status", CASES)
def test_rules_read_what_the_request_says(gate, http, path, headers, status):
    answer = gate.ask(DESK, path, headers=headers, http=http)
    assert answer.status == status, answer


@pytest.mark.parametrize("named", ["x-case-id", "close, X-Case-ID", "X_Case_Id"])
def test_what_rules_read_can_not_be_kept_from_the_application(gate, named):
    """RFC 9110 §7.6.1: what Connection names goes no further; else it would be judged by what nobody gets."""
    answer = gate.ask(DESK, "/header", headers=["x-case-id: 12", f"connection: {named}"], http="1.1")
    assert (answer.status, answer.problem) == (400, "request_ambiguous")
    assert gate.ask(DESK, "/header", headers=["x-case-id: 12", "connection: x-other"], http="1.1").status == 200


def test_a_change_of_what_may_be_read_counts_from_the_next_request(gate):
    assert gate.ask(DESK, "/header", headers=["x-case-id: 12"]).status == 200
    gate.update("finance", lambda text: text.replace("x-case-id", "x-file-id"))
    assert gate.ask(DESK, "/header", headers=["x-case-id: 12"]).status == 403
    assert gate.ask(DESK, "/header", headers=["x-file-id: 12"]).status == 200
