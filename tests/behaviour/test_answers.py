# SPDX-License-Identifier: EUPL-1.2
"""What a caller gets, row by row: as a browser and as a service, over both protocols. Each answer's reference leads to
one line of the audit, which says why; the answer itself says no more than its reason allows."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import time

import pytest
from h2.exceptions import ProtocolError

from callers import BROWSER, CALLERS, H2, SERVICE, Reset, check_refusal, read_answer
from conftest import check_end as check_world_end
from world import World, until

TAX = "tax.finance.localhost"
STRICT = "strict.finance.localhost"
MAYBE = "maybe.finance.localhost"
OPEN = "open.finance.localhost"
SMALL = "small.finance.localhost"
TOKEN = "token.finance.localhost"
DEAD = "dead.finance.localhost"
HOLE = "hole.finance.localhost"
CLAIMS = "claims.health.localhost"

both_protocols = pytest.mark.parametrize("http", ["1.1", "2"])
both_callers = pytest.mark.parametrize("caller", list(CALLERS))
either_alpn = pytest.mark.parametrize("alpn", ["http/1.1", "h2"])

LAPTOP = {"cert": "laptop-0001"}


def person(name):
    return lambda world: world.token("finance", name)


# name, host, reason, status, how it is asked, what else it says: fields, or members of the problem
ROWS = [
    ("no device where one is needed", TAX, "device_required", 403, {"path": "/declarations/1"}, {}),
    ("no device, and a good token", TAX, "device_required", 403, {"path": "/declarations/1", "who": "anna"}, {}),
    ("no device where a rule needs one", MAYBE, "device_required", 403, {"path": "/managed/1"},
     {"rule": "with-device", "missing": "device.trust"}),
    ("an unknown authority's device", TAX, "device_invalid", 403, {"cert": "rogue", "who": "anna"}, {}),
    ("an expired device", TAX, "device_invalid", 403, {"cert": "expired", "who": "anna"}, {}),
    ("a server's certificate", TAX, "device_invalid", 403, {"cert": "server-use", "who": "anna"}, {}),
    ("another entity's device", TAX, "device_invalid", 403, {"cert": "tablet-0001", "who": "anna"}, {}),
    ("a bad device where none is needed", MAYBE, "device_invalid", 403, {"cert": "rogue", "path": "/open/1"}, {}),
    ("no identity", TAX, "identity_required", 401, {**LAPTOP, "path": "/declarations/1"},
     {"www-authenticate": 'Bearer realm="tax-desk"'}),
    ("another scheme is no identity", TAX, "identity_required", 401,
     {**LAPTOP, "path": "/declarations/1", "headers": ["authorization: Basic YTpi"]},
     {"www-authenticate": 'Bearer realm="tax-desk"'}),
    ("a token that is none", TAX, "token_malformed", 401, {**LAPTOP, "token": "abc"},
     {"www-authenticate": 'Bearer realm="tax-desk", error="invalid_token"'}),
    ("two tokens", TAX, "request_ambiguous", 400,
     {**LAPTOP, "who": "anna", "headers": ["authorization: Bearer abc"]}, {}),
    ("a person without the role", TAX, "denied", 403, {**LAPTOP, "who": "bart", "path": "/declarations/1"},
     {"rule": "officers-read"}),
    ("a path without a rule", TAX, "denied", 403, {**LAPTOP, "who": "anna", "path": "/elsewhere"}, {}),
    ("a method without a rule", TAX, "denied", 403,
     {**LAPTOP, "who": "anna", "path": "/declarations/1", "method": "DELETE"}, {}),
    ("what a rule forbids", TAX, "forbidden", 403, {**LAPTOP, "who": "anna", "path": "/declarations/secret/1"},
     {"rule": "nothing-secret"}),
    ("a sign-in that is too weak", TAX, "assurance_too_low", 403,
     {**LAPTOP, "who": "carine", "path": "/declarations/1", "method": "PUT", "body": b"{}"},
     {"rule": "officers-write", "www-authenticate": 'Bearer error="insufficient_user_authentication", '
                                                    'acr_values="urn:be:fedict:iam:fas:Level400"'}),
    ("an unknown host", OPEN, "host_unknown", 404, {"authority": "nowhere.finance.localhost"}, {}),
    ("a host at another port", OPEN, "host_unknown", 404, {"authority": f"{OPEN}:1"}, {}),
    ("a host with another view", OPEN, "host_misdirected", 421, {"authority": TAX}, {}),
    ("a host of another entity", TAX, "host_misdirected", 421, {**LAPTOP, "authority": CLAIMS}, {}),
    ("nothing under /.belfry", OPEN, "not_found", 404, {"path": "/.belfry/nothing"}, {}),
    ("a host that is no name", OPEN, "request_malformed", 400, {"authority": "a..b"}, {}),
    ("two readings of a path", OPEN, "path_ambiguous", 400, {"path": "/a/%2e%2e/b"}, {}),
    ("TRACE", OPEN, "method_refused", 501, {"method": "TRACE"}, {}),
    ("nobody behind", DEAD, "upstream_refused", 502, {}, {"proxy-status": "belfry; error=connection_refused"}),
    ("a slow application", SMALL, "upstream_timeout", 504, {"path": "/never"},
     {"proxy-status": "belfry; error=http_response_timeout"}),
    ("an application that breaks off", OPEN, "upstream_broken", 502, {"path": "/reset"},
     {"proxy-status": "belfry; error=http_protocol_error"}),
    ("an answer that is none", OPEN, "upstream_broken", 502, {"path": "/answers/" + b"HELLO\r\n\r\n".hex()},
     {"proxy-status": "belfry; error=http_protocol_error"}),
    ("an application with NTLM", OPEN, "connection_auth", 502, {"path": "/ntlm"},
     {"proxy-status": "belfry; error=http_protocol_error"}),
]
BEHIND = ("upstream_refused", "upstream_timeout", "upstream_broken", "connection_auth")


def ask(world, host, how, http, caller):
    how = dict(how)
    headers = [*CALLERS[caller], *how.pop("headers", ())]
    if who := how.pop("who", None):
        how["token"] = person(who)(world)
    return world.ask(host, http=http, headers=headers, **how)


@both_protocols
@both_callers
@pytest.mark.parametrize("name,host,reason,status,how,says", [pytest.param(*row, id=row[0]) for row in ROWS])
def test_a_refused_caller_gets_the_answer_of_the_table(world, name, host, reason, status, how, says, caller, http):
    answer = ask(world, host, how, http, caller)
    if reason in BEHIND:  # it was permitted, and its end says how it ended
        check_end(world, answer, caller, status, reason, "unknown")
    else:
        is_token = reason.startswith("token_")
        check_refusal(world, answer, caller, status, reason, problem="invalid_token" if is_token else None)
        assert not world.origin.requests
    for key, value in says.items():
        if "-" in key:
            assert answer.get(key) == value
        elif caller == "service":
            assert json.loads(answer.body)[key] == value
        else:
            assert f"<code>{value}</code>" in answer.body.decode()


# Over a limit. A head that is never whole is never read either, so over HTTP/1.1 a browser gets a service's answer.


def lines(headers):
    return [tuple(line.split(": ", 1)) for line in headers]


def over_h1(world, head, caller, body=b""):
    """The answer to these bytes, while more would come."""
    head = f"{head}\r\n{CALLERS[caller][0]}\r\n".encode()
    with world.tls(SMALL) as tls:
        tls.sendall(head + body)
        return read_answer(tls)[0]


LONG = "/" + "a" * 17000


@both_callers
def test_over_a_limit_of_the_head_h1_is_refused(world, caller):
    for reason, status, head in (
        ("uri_too_long", 414, f"GET {LONG} HTTP/1.1\r\nhost: {SMALL}"),
        ("headers_too_large", 431, f"GET / HTTP/1.1\r\nhost: {SMALL}" + "\r\nx-a: b" * 140),
        ("headers_too_large", 431, f"GET / HTTP/1.1\r\nhost: {SMALL}\r\nx-a: " + "b" * 70000),
    ):
        answer = over_h1(world, head, caller, b"\r\n")
        check_refusal(world, answer, "service", status, reason)
        assert answer.get("connection") == "close" and not world.origin.requests


@both_callers
def test_over_a_limit_of_the_head_h2_is_refused_and_goes_on(world, caller):
    with H2(world.tls(SMALL, alpn=("h2",))) as h2:
        for reason, status, path, more in (
            ("uri_too_long", 414, LONG, []), ("headers_too_large", 431, "/", [("x-a", "b")] * 140),
            ("headers_too_large", 431, "/", [("x-a", "b" * 9000)] * 8),
        ):
            answer = h2.ask(SMALL, path, headers=[*lines(CALLERS[caller]), *more])
            # Of fields that are too many, Accept is among those that were read.
            check_refusal(world, answer, caller, status, reason)
        assert not world.origin.requests
        assert h2.ask(SMALL, "/after").status == 200


@both_callers
@both_protocols
def test_a_body_that_is_announced_over_the_limit_is_refused_before_it_comes(world, caller, http):
    if http == "1.1":
        head = f"POST / HTTP/1.1\r\nhost: {SMALL}\r\ncontent-length: 65537"
        answer = over_h1(world, head, caller, b"\r\nbegin")
    else:
        with H2(world.tls(SMALL, alpn=("h2",))) as h2:
            headers = [*lines(CALLERS[caller]), ("content-length", "65537")]
            answer = h2.ask(SMALL, "/", method="POST", headers=headers, body=b"begin", end=False)
            assert h2.ask(SMALL, "/after").status == 200
            world.origin.clear()
    check_refusal(world, answer, caller, 413, "body_too_large")
    assert not world.origin.requests


@both_callers
@both_protocols
def test_a_body_that_grows_over_the_limit_is_refused_there(world, caller, http):
    """It was permitted when its head came; its end says why it did not go on."""
    if http == "1.1":
        head = f"POST / HTTP/1.1\r\nhost: {SMALL}\r\ntransfer-encoding: chunked"
        answer = over_h1(world, head, caller, b"\r\n4e20\r\n" + b"b" * 20000 + b"\r\nffff\r\n" + b"b" * 65535)
    else:
        with H2(world.tls(SMALL, alpn=("h2",))) as h2:
            stream = h2.begin(SMALL, "/", method="POST", headers=lines(CALLERS[caller]), end=False)
            try:
                h2.send_body(stream, b"b" * 90000)
            except ProtocolError:
                pass  # it was refused meanwhile
            answer = h2.end(stream)
            assert h2.ask(SMALL, "/after").status == 200
    check_end(world, answer, caller, 413, "body_too_large", "failure")


def check_end(world, answer, caller, status, reason, outcome):
    reference = answer.get("belfry-reference")
    assert (answer.status, answer.problem) == (status, reason if caller == "service" else None)
    assert (caller == "browser") == (answer.get("content-type") == "text/html; charset=utf-8")
    assert reference in answer.body.decode()
    assert world.decision(reference)["belfry.reason_code"] == "permitted"
    (end,) = until(lambda: [e for e in world.events(reference) if e["event.action"] == "access-end"], "no end")
    assert end["belfry.reason_code"] == reason and end["http.response.status_code"] == status
    assert end["event.outcome"] == outcome


def test_a_bad_device_is_told_what_is_wrong_with_it_and_never_that_it_has_none(world):
    for cert, word in (("rogue", "unknown authority"), ("expired", "expired")):
        told = json.loads(world.ask(TAX, cert=cert, headers=SERVICE).body)
        assert told["type"].endswith(":device_invalid") and word in told["detail"], told


@both_protocols
@both_callers
def test_a_refusal_of_head_has_the_fields_and_no_body(world, http, caller):
    for host, how in ((TAX, {}), (TAX, LAPTOP), (TOKEN, {"token": "x"}), (OPEN, {"path": "/a//b"}), (DEAD, {})):
        full = world.ask(host, http=http, headers=CALLERS[caller], **how)
        bare = world.ask(host, http=http, headers=CALLERS[caller], method="HEAD", **how)
        assert bare.status == full.status and bare.body == b""
        assert bare.get("content-length") == str(len(full.body))
        assert bare.get("content-type") == full.get("content-type")
        assert bare.get("belfry-reference") != full.get("belfry-reference")


def test_behind_a_refusal_of_head_the_next_answer_is_in_its_place(world):
    head = f"HEAD /a//b HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode()
    get = f"GET /next HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode()
    with world.tls(OPEN) as tls:
        tls.sendall(head + get)
        refused, rest = read_answer(tls, to_head=True)
        answer, rest = read_answer(tls, rest)
        assert refused.status == 400 and answer.body == b"GET /next 0" and not rest
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        assert h2.ask(OPEN, "/a//b", method="HEAD").body == b""
        assert h2.ask(OPEN, "/next").body == b"GET /next 0"


HEADINGS = {
    "nl": ("U hebt geen toegang", "Belastingloket"), "fr": ("Vous n’avez pas accès", "Guichet fiscal"),
    "de": ("Sie haben keinen Zugang", "Steuerschalter"), "en": ("You do not have access", "Tax desk"),
}


@both_protocols
@pytest.mark.parametrize("wish,language", [
    ("nl-BE,nl;q=0.9,en;q=0.5", "nl"), ("fr", "fr"), ("es, de-AT;q=0.3", "de"), ("en;q=0.2, fr;q=0.8", "fr"),
    ("es", "en"), ("nl;q=0, *", "en"), ("\x80;;,,nl;q=x,de", "de"), (None, "en"),
])
def test_a_page_speaks_the_callers_language(world, http, wish, language):
    headers = [*BROWSER, *([f"accept-language: {wish}"] if wish else [])]
    token = world.token("finance", "bart")
    answer = world.ask(TAX, "/declarations/1", cert="laptop-0001", token=token, http=http, headers=headers)
    check_refusal(world, answer, "browser", 403, "denied", language=language)
    heading, application = HEADINGS[language]
    assert f"<h1>{heading}</h1>" in answer.body.decode() and application in answer.body.decode()


@pytest.mark.parametrize("of", ["&" * 16000, "q=" + "'" * 12000, "x"], ids=["&", "'", "short"])
@pytest.mark.parametrize("http", ["1.1", "2"])
def test_the_longest_address_of_ours_is_answered_by_a_page(world, http, of):
    """Nobody is asked who they are there, and a page holds the address that it was asked by, escaped."""
    answer = world.ask(OPEN, f"/.belfry/nothing?{of}", headers=BROWSER, http=http)
    check_refusal(world, answer, "browser", 404, "not_found")
    assert len(answer.body) < 65536


def test_what_the_caller_sent_stands_nowhere_in_the_page(world):
    answer = world.ask(TAX, "/declarations/%3Cscript%3Ealert(1)?q=%3Cscript", cert="laptop-0001",
                       token=world.token("finance", "bart"), headers=[*BROWSER, "x-a: <script>", "referer: <script>"])
    check_refusal(world, answer, "browser", 403, "denied")
    back = b'name="to" value="/declarations/%3Cscript%3Ealert(1)?q=%3Cscript"'
    assert answer.body.count(back) == 1 and b"script" not in answer.body.replace(back, b"")


@both_callers
def test_all_bad_tokens_get_one_answer(world, caller):
    """Byte for byte, but for the reference: which check failed is the audit's to know."""
    good = world.token("finance", "anna")
    head, payload, signature = good.split(".")
    bad = {"token_malformed": "abc", "token_signature": f"{head}.{payload}.{'A' * len(signature)}",
           "token_audience": world.token("finance", "anna", audience="other"),
           "token_expired": world.token("finance", "anna", age=5000),
           "token_issuer": world.token("health", "dirk")}
    seen = set()
    for reason, token in bad.items():
        answer = world.ask(TOKEN, token=token, headers=CALLERS[caller])
        check_refusal(world, answer, caller, 401, reason, problem="invalid_token")
        reference = answer.get("belfry-reference")
        seen.add((str([f for f in answer.fields if f[0] not in ("belfry-reference", "date")]),
                  answer.body.replace(reference.encode(), b"")))
    assert len(seen) == 1, seen


# An application that can't be reached, or has no room


@pytest.fixture(scope="module")
def full():
    """A gateway that opens one upstream connection only; behind HOLE is a listener whose queue is full."""
    with World(workers=1, hosts=[HOLE], extra_config="limits: { upstream_connections: 1 }\ntimeouts: { stalled: 2s }\n") as made:
        made.begin()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # what does not fit is not answered: neither refused nor taken
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        made.update("finance", lambda text: text + f"""
  - id: hole
    host: {HOLE}
    device: none
    upstreams: [http://127.0.0.1:{listener.getsockname()[1]}]
    timeouts: {{ connect: 300ms }}
    rules:
      - id: everybody
        permit: {{}}
""")
        yield made
        for one in (listener, *waiting):
            one.close()
        check_world_end(made)


@both_protocols
@both_callers
def test_an_application_that_does_not_even_answer_a_connection_is_504(full, caller, http):
    answer = full.ask(HOLE, "/", headers=CALLERS[caller], http=http)
    check_end(full, answer, caller, 504, "upstream_connect_timeout", "unknown")
    assert answer.get("proxy-status") == "belfry; error=connection_timeout"


@both_protocols
@both_callers
def test_an_application_that_has_no_room_is_503_and_has_it_again_later(full, caller, http):
    with full.tls(OPEN) as tls:
        tls.sendall(f"GET /wait/{caller}{http} HTTP/1.1\r\nhost: {OPEN}\r\n\r\n".encode())
        until(lambda: full.origin.seen(f"/wait/{caller}{http}"), "it is not under way")
        answer = full.ask(OPEN, "/2", headers=CALLERS[caller], http=http)
        check_end(full, answer, caller, 503, "upstream_busy", "unknown")
        assert answer.get("proxy-status") == "belfry; error=connection_limit_reached"
        assert int(answer.get("retry-after")) > 0
        full.origin.release.set()
        assert read_answer(tls)[0].status == 200
    assert full.ask(OPEN, "/3", http=http).status == 200
    full.origin.clear()


@either_alpn
def test_of_a_client_that_takes_nothing_the_audit_says_so(full, alpn):
    def cut():
        return [e for e in full.events() if e["belfry.reason_code"] == "client_stalled"]

    before = len(cut())
    tls = full.tls(SMALL, alpn=(alpn,))  # stalled: 2s
    if alpn == "h2":
        H2(tls).begin(SMALL, "/bytes/100000000")
    else:
        tls.sendall(f"GET /bytes/100000000 HTTP/1.1\r\nhost: {SMALL}\r\n\r\n".encode())
    with tls:
        until(lambda: len(cut()) > before, "it is never cut")
    assert cut()[-1]["event.action"] == "access-end" and cut()[-1]["belfry.bytes_out"] < 100000000


# What TLS itself refuses


@either_alpn
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("cert,alert", [
    (None, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"), ("rogue", "UNKNOWN_CA"), ("tablet-0001", "UNKNOWN_CA"),
    ("expired", "CERTIFICATE_EXPIRED"), ("server-use", "UNSUPPORTED_CERTIFICATE|BAD_CERTIFICATE"),
])
def test_where_a_device_is_demanded_the_handshake_ends_by_an_alert(world, cert, alert, version, alpn):
    before = len(failures(world, STRICT))
    with pytest.raises(ssl.SSLError) as refused:
        with world.tls(STRICT, cert, alpn=(alpn,), version=version) as tls:
            while tls.recv(65536):  # with TLS 1.3 the client learns of it only now
                pass
    assert re.search(alert, str(refused.value)), refused.value
    until(lambda: len(failures(world, STRICT)) > before, "no audit event of it")
    event = failures(world, STRICT)[-1]
    assert event["belfry.detail"] and event["event.action"] == "access-refused" and event["event.id"]
    assert not world.origin.requests


def failures(world, host):
    return [e for e in world.events() if e["belfry.reason_code"] == "handshake_failed" and e.get("url.domain") == host]


@pytest.mark.parametrize("name", ["nowhere.localhost", "x.finance.localhost"])
def test_a_name_that_is_not_served_gets_no_certificate(world, name):
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        world.tls(name)


@both_protocols
def test_where_a_device_is_demanded_a_good_one_comes_in(world, http):
    assert world.ask(STRICT, "/1", cert="laptop-0001", http=http).status == 200


# One connection, several names


def test_a_host_that_the_connection_is_not_for_does_not_say_which_application_it_is(world):
    answer = world.ask(OPEN, "/", headers=BROWSER, authority=TAX)
    assert answer.status == 421 and b"<html" in answer.body and b"Tax desk" not in answer.body


def test_one_connection_serves_the_hosts_that_share_its_view_and_no_other(world):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        for authority, status, problem in ((SMALL, 200, None), (TAX, 421, "host_misdirected"),
                                           (STRICT, 421, "host_misdirected"), (CLAIMS, 421, "host_misdirected"),
                                           ("nowhere.localhost", 404, "host_unknown"), (OPEN, 200, None)):
            answer = h2.ask(authority, "/1")
            assert (answer.status, answer.problem) == (status, problem), authority
    assert [r.get("host") for r in world.origin.requests] == [SMALL, OPEN]


def test_a_good_device_of_one_view_counts_in_no_other(world):
    with H2(world.tls(TAX, "laptop-0001", alpn=("h2",))) as h2:
        token = [("authorization", "Bearer " + world.token("finance", "anna"))]
        assert h2.ask(TAX, "/declarations/1", headers=token).status == 200
        assert h2.ask(STRICT, "/1").problem == "host_misdirected"
        assert h2.ask(MAYBE, "/managed/1").problem == "host_misdirected"
        assert h2.ask(TAX, "/declarations/2", headers=token).status == 200
    assert [r.target for r in world.origin.requests] == ["/declarations/1", "/declarations/2"]


# name, authority, fields, what comes: (status, reason), or the error code of the stream
H2_ONLY = [
    ("Host is not :authority", OPEN, {"headers": [("host", SMALL)]}, (400, "request_ambiguous")),
    ("two Hosts", None, {"headers": [("host", OPEN), ("host", SMALL)]}, 1),
    ("Host alone", None, {"headers": [("host", OPEN)]}, (200, None)),
    ("the same Host", OPEN, {"headers": [("host", OPEN.upper())]}, (200, None)),
    ("no name at all", None, {}, 1),
    ("another scheme", OPEN, {"scheme": "http"}, (400, "request_malformed")),
    ("upper case", OPEN, {"headers": [("X-A", "b")]}, 1),
    ("a space in a name", OPEN, {"headers": [("x a", "b")]}, 1),
    ("a line end in a value", OPEN, {"headers": [("x-a", "b\r\nx-c: d")]}, 1),
    ("a connection's own field", OPEN, {"headers": [("connection", "close")]}, 1),
    ("transfer-encoding", OPEN, {"headers": [("transfer-encoding", "chunked")]}, 1),
    ("a second path", OPEN, {"headers": [(":path", "/b")]}, 1),
    ("a pseudo field behind", OPEN, {"headers": [("x-a", "b"), (":status", "200")]}, 1),
    ("no path", OPEN, {"path": None}, 1),
    ("a path without a slash", OPEN, {"path": "a"}, 1),
    ("a length that is too short", OPEN, {"method": "POST", "body": b"abc", "headers": [("content-length", "2")]}, 1),
    ("a length that is too long", OPEN, {"method": "POST", "body": b"abc", "headers": [("content-length", "4")]}, 1),
]


@pytest.mark.parametrize("name,authority,how,expected", [pytest.param(*row, id=row[0]) for row in H2_ONLY])
def test_malformed_h2_spoils_its_stream_alone(world, name, authority, how, expected):
    before = len(malformed(world))
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        try:
            answer = h2.ask(authority, **how)
            came = answer.status, answer.problem
        except Reset as reset:
            came = reset.code
        assert came == expected
        if came == 1 and "body" not in how:
            until(lambda: len(malformed(world)) == before + 1, "no audit event of it")
            assert malformed(world)[-1]["client.ip"] == "127.0.0.1"
            assert len(malformed(world)[-1]["trace.id"].strip("\0")) == 32
        if came != (200, None) and "body" not in how:
            assert not world.origin.requests
        if isinstance(came, tuple) and came[1]:
            check_refusal(world, answer, "service", *came)
        assert h2.ask(OPEN, "/after").status == 200
    until(lambda: world.metric("belfry_requests_open") == 0, "requests are not counted out as they were counted in")


def malformed(world):
    return [e for e in world.events() if e["belfry.reason_code"] == "request_malformed" and "url.domain" not in e]


def test_malformed_h1_is_answered_and_the_connection_ends(world):
    with world.tls(OPEN) as tls:
        tls.sendall(f"GET / HTTP/1.1\r\nhost: {OPEN}\r\nhost: {SMALL}\r\n\r\nGET /2 HTTP/1.1\r\n\r\n".encode())
        answer, rest = read_answer(tls)
        assert not rest and tls.recv(100) == b""
    check_refusal(world, answer, "service", 400, answer.problem)
    assert answer.get("connection") == "close" and not world.origin.requests


def test_an_unknown_expectation_is_417(world):
    answer = world.ask(OPEN, headers=[*SERVICE, "expect: miracles"])
    check_refusal(world, answer, "service", 417, "expectation_refused")


def test_another_version_is_505(world):
    with world.tls(OPEN) as tls:
        tls.sendall(f"GET / HTTP/1.0\r\nhost: {OPEN}\r\n\r\n".encode())
        answer, _ = read_answer(tls)
    check_refusal(world, answer, "service", 505, "version_refused")


# What happens to the gateway itself


def test_with_the_store_away_decisions_go_on_and_readiness_says_so(new_world):
    world = new_world(workers=1)
    world.stop("redis")
    until(lambda: world.metric("belfry_store_connected") == 0, "it does not notice")
    for http in ("1.1", "2"):
        token = world.token("finance", "anna")  # one that it has not seen
        assert world.ask(TAX, "/declarations/1", cert="laptop-0001", token=token, http=http).status == 200
        answer = world.ask(TAX, "/x", cert="laptop-0001", token=token, http=http)
        check_refusal(world, answer, "service", 403, "denied")
    status, text = world.admin("/readyz")
    assert status == 200 and "degraded store: away for" in text and "ok policy" in text


def test_without_evidence_nobody_comes_in_and_the_refusals_are_on_record_later(new_world):
    world = new_world(workers=1)
    assert world.ask(OPEN, "/before").status == 200
    aside = world.folder / "aside.jsonl"
    shutil.move(world.audit, aside)
    os.symlink("/dev/full", world.audit)  # every write to it: no space left on the device
    world.gateway.send_signal(signal.SIGUSR1)
    until(lambda: "nobody is let in" in world.log_text() or world.ask(OPEN, "/fill").status == 503,
          "it does not notice")
    world.origin.clear()
    answers = [(caller, world.ask(OPEN, "/without", headers=CALLERS[caller], http=http))
               for caller in CALLERS for http in ("1.1", "2")]
    assert not world.origin.requests
    os.unlink(world.audit)
    world.gateway.send_signal(signal.SIGUSR1)
    until(lambda: world.audit.exists() and world.ask(OPEN, "/again").status == 200, "it does not come back")
    for caller, answer in answers:
        check_refusal(world, answer, caller, 503, "audit_unavailable")
    assert "is written to again" in world.log_text()


def rewrite_charter(world, change):
    path = world.folder / "policy/charter.yaml"
    text = re.sub(r"(?m)^serial: (\d+)$", lambda m: f"serial: {int(m[1]) + 1}", change(path.read_text()), count=1)
    path.write_text(text)
    world.publish_charter()


def test_when_the_charter_ends_so_does_every_access(new_world):
    world = new_world(workers=1)
    end = time.time() + 3
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
    before = world.metric("belfry_snapshot")
    rewrite_charter(world, lambda text: re.sub(r"(?m)^not_after: .*$", f"not_after: {stamp}", text, count=1))
    until(lambda: world.metric("belfry_snapshot") > before, "the new charter is not live")
    assert world.ask(OPEN, "/1").status == 200, "too slow for this test"
    until(lambda: world.ask(OPEN, "/2").status == 503, "the end of the charter has no effect")
    assert time.time() >= int(end)
    for caller in CALLERS:
        for http in ("1.1", "2"):
            answer = world.ask(OPEN, "/3", headers=CALLERS[caller], http=http)
            check_refusal(world, answer, caller, 503, "policy_expired")
    status, text = world.admin("/readyz")
    assert status == 503 and "failed policy: the charter's not_after has passed" in text
    assert not world.origin.seen("/3")


def test_a_host_that_is_withdrawn_is_not_served_any_more_and_the_others_are(new_world):
    world = new_world(workers=1)
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        assert h2.ask(OPEN, "/1").status == 200
        names = ", ".join(f'"{host}"' for host in world.hosts + [TAX] if host != OPEN and "finance" in host)
        before = world.metric("belfry_snapshot")
        rewrite_charter(world, lambda text: text.replace('hosts: ["*.finance.localhost"]', f"hosts: [{names}]"))
        until(lambda: world.metric("belfry_snapshot") > before, "the new charter is not live")
        for caller in CALLERS:
            headers = [tuple(line.split(": ", 1)) for line in CALLERS[caller]]
            check_refusal(world, h2.ask(OPEN, "/2", headers=headers), caller, 503, "not_delegated")
        assert h2.ask(SMALL, "/3").status == 200
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):  # nothing is left to shake hands for
        world.tls(OPEN)
    assert world.ask(SMALL, "/4").status == 200
    assert not world.origin.seen("/2")


def test_a_body_that_is_refused_early_leaves_curl_its_answer_over_h2(world):
    """RFC 9113 §8.1 lets a server reset the stream behind a complete answer; some clients then lose the answer. So
    there is a moment in which the body may still end by itself."""
    for _ in range(30):
        answer = world.ask("tax.finance.localhost", "/declarations/1", method="PUT", cert="laptop-0001", http="2",
                           body=b"x" * 300000)
        assert answer.status == 401 and answer.problem == "identity_required"
