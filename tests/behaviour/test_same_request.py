# SPDX-License-Identifier: EUPL-1.2
"""One request, two protocols: whether it comes over HTTP/1.1 or HTTP/2, rules, audit, application and caller meet the same
one. Compared is all that they get to see, but for what is made anew for each request."""

import base64
import json
import re

import pytest

from callers import read_answer
from h2_raw import DATA, END_STREAM, Raw, frame, request

OPEN = "open.finance.localhost"
MAYBE = "maybe.finance.localhost"
TOKEN = "token.finance.localhost"
TAX = "tax.finance.localhost"
LAPTOP = "laptop-0001"


def row(name, target="/", method="GET", *fields, host=OPEN, authority=None, cert=None, body=None, length=True, status=200):
    """`length=False`: the body comes without an announced length."""
    return pytest.param(host, authority or host, cert, method, target, fields, body, length, status, id=name)


ROWS = [
    # Targets.
    row("the root"),
    row("a path", "/a/b/c"),
    row("a slash behind", "/a/"),
    row("a query", "/a?b=c&d"),
    row("an empty query", "/a?"),
    row("two question marks", "/a?b?c"),
    row("escapes that stay", "/a%20b%3Ac%2cd"),
    row("escapes that go", "/%61%2D%7E"),
    row("UTF-8", "/caf%C3%A9/%e2%82%ac"),
    row("reserved ones", "/a:b@c!d$e&f'g(h)i*j+k,l=m"),
    row("what a query may hold", "/?[]{}|^`"),
    row("many segments", "/a" * 200),
    row("dot segments", "/a/../b", status=400),
    row("an escaped dot segment", "/a/%2e%2e/b", status=400),
    row("an escaped slash", "/a%2fb", status=400),
    row("a double escape", "/a%252fb", status=400),
    row("parameters", "/a;b=c", status=400),
    row("an empty segment", "/a//b", status=400),
    row("a NUL", "/a%00b", status=400),
    row("a line break", "/a%0d%0ab", status=400),
    row("half an escape", "/a%2", status=400),
    row("no UTF-8", "/a%ff", status=400),
    row("a backslash", "/a%5cb", status=400),
    row("too many segments", "/a" * 300, status=414),
    row("too long", "/" + "a" * 16384, status=414),
    # Methods.
    *(row(f"the method {m}", "/m", m) for m in ("HEAD", "OPTIONS", "DELETE", "PATCH", "PROPFIND", "get", "M-SEARCH", "Q!#$%&'*+")),
    row("TRACE", "/", "TRACE", status=501),
    # Hosts.
    row("a host in capitals", authority="OPEN.Finance.Localhost"),
    row("a host with a dot behind", authority=OPEN + "."),
    row("a host that nobody has", authority="b.example", status=404),
    row("a host with another port", authority=OPEN + ":1", status=404),
    row("an address", authority="127.0.0.1", status=400),
    row("a host with an underscore", authority="a_b.example", status=400),
    row("a host of another view", authority=MAYBE, status=421),
    row("what is the gateway's own", "/.belfry/nothing", status=404),
    # Fields.
    row("fields in order", "/", "GET", ("b", "1"), ("a", "2"), ("b", "3")),
    row("odd values", "/", "GET", ("a", ""), ("b", "c:d, e;f"), ("g", "h\ti"), ("j", "\xe9\xff")),
    row("names of all letters", "/", "GET", ("!#$%&'*+-.^_`|~09az", "x")),
    row("cookies", "/", "GET", ("cookie", "a=b; c=d")),
    row("cookies in crumbs", "/", "GET", ("cookie", "a=b"), ("cookie", "c=d")),
    row("cookies of ours", "/", "GET", ("cookie", "a=b; __Host-belfry=x"), ("cookie", "c=d")),
    row("what could be forged", "/", "GET", ("belfry-assertion", "x"), ("x-forwarded-for", "1.2.3.4"), ("x_user", "root")),
    row("names of framing in disguise", "/", "POST", ("content_length", "5"), ("transfer.encoding", "chunked"), body=b"abc"),
    row("te", "/", "GET", ("te", "trailers")),
    row("via", "/", "GET", ("via", "1.1 a, 1.0 b")),
    row("a trace without its like", "/", "GET", ("traceparent", "nonsense"), ("tracestate", "a=b")),
    row("an authorization of another kind", "/", "GET", ("authorization", "Basic YTpi")),
    row("an authorization of a connection", "/", "GET", ("authorization", "Negotiate YTpi")),
    row("too many fields", "/", "GET", *((f"a{i}", "b") for i in range(200)), status=431),
    row("an unknown expectation", "/", "POST", ("expect", "200-ok"), body=b"abc", status=417),
    # Bodies.
    row("a body", "/echo", "POST", body=b"abc"),
    row("a body without a length", "/echo", "POST", body=b"abc", length=False),
    row("an empty body", "/echo", "POST", body=b""),
    row("a body of a GET", "/echo", body=b"abc"),
    row("a body of many bytes", "/echo", "PUT", body=bytes(range(256)) * 64),
    row("a body that is a request", "/echo", "POST", body=b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n", length=False),
    row("no body of a POST", "/echo", "POST"),
    # Who asks, and what the rules say.
    row("a device", "/managed/a", cert=LAPTOP, host=MAYBE),
    row("no device", "/managed/a", host=MAYBE, status=403),
    row("no rule", "/elsewhere", cert=LAPTOP, host=MAYBE, status=403),
    row("a device from nowhere", "/open/a", cert="rogue", host=MAYBE, status=403),
    row("no token", "/a", host=TOKEN, status=401),
    row("a token that is none", "/a", "GET", ("authorization", "Bearer x.y.z"), host=TOKEN, status=401),
    row("two tokens", "/a", "GET", ("authorization", "Bearer a"), ("authorization", "Bearer a"), host=TOKEN, status=400),
    row("a token behind a tab", "/a", "GET", ("authorization", "Bearer\tx"), host=TOKEN, status=401),
    row("a person", "/declarations/1", "GET", ("authorization", "Bearer @TOKEN@"), cert=LAPTOP, host=TAX),
    row("a person who may not", "/declarations/secret/1", "GET", ("authorization", "Bearer @TOKEN@"), cert=LAPTOP, host=TAX,
        status=403),
    row("a browser", "/elsewhere", "GET", ("accept", "text/html"), ("accept-language", "nl"), cert=LAPTOP, host=MAYBE,
        status=403),
]

ANEW = {"belfry-reference", "date", "connection", "via", "traceparent", "belfry-assertion", "content-length"}
ANEW_CLAIMS = {"iat", "exp", "jti"}
ANEW_IN_AUDIT = {"@timestamp", "event.id", "event.sequence", "trace.id", "http.version", "event.duration"}


def over_h1(world, host, authority, cert, method, target, fields, body, length):
    head = [f"{method} {target} HTTP/1.1", f"host: {authority}", *(f"{name}: {value}" for name, value in fields)]
    if body is not None:
        head.append(f"content-length: {len(body)}" if length else "transfer-encoding: chunked")
    raw = "\r\n".join([*head, "", ""]).encode("latin-1")
    if body is not None:
        raw += body if length else f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    with world.tls(host, cert=cert) as tls:
        tls.sendall(raw)
        answer, rest = read_answer(tls, to_head=method == "HEAD")
        assert not rest
    return answer.status, answer.fields, answer.body


def over_h2(world, host, authority, cert, method, target, fields, body, length):
    fields = [(name, value.encode("latin-1")) for name, value in fields]
    if body is not None and length:
        fields.append(("content-length", str(len(body))))
    with Raw(world, host, cert=cert) as raw:
        raw.send(raw.headers(1, request(authority, target, method, *fields), end=body is None),
                 frame(DATA, END_STREAM, 1, body) if body is not None else b"")
        status, said = raw.outcome(1)
        return status, raw.fields[1][1:], said


def claims_of(assertion):
    payload = assertion.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {name: value for name, value in claims.items() if name not in ANEW_CLAIMS}


def met(world, send, *what):
    """All that anybody gets to see of it."""
    world.origin.clear()
    status, fields, body = send(world, *what)
    reference = dict(fields)["belfry-reference"]
    seen = [(r.method, r.target, [f for f in r.fields if f[0] not in ANEW or f[0] == "content-length"], r.body,
             claims_of(r.get("belfry-assertion")), re.sub(r"(1\.1|2) belfry$", "", r.get("via")))
            for r in world.origin.requests]
    event = {name: value for name, value in world.decision(reference).items() if name not in ANEW_IN_AUDIT}
    return {"status": status, "fields": sorted(f for f in fields if f[0] not in ANEW),
            "body": body.replace(reference.encode(), b"REFERENCE"), "seen": seen, "event": event}


@pytest.fixture(scope="module")
def person(world):
    return world.token("finance", "anna")


@pytest.mark.parametrize("host,authority,cert,method,target,fields,body,length,status", ROWS)
def test_a_request_is_the_same_over_http_1_and_http_2(world, request, host, authority, cert, method, target, fields, body,
                                                      length, status):
    if any("@TOKEN@" in value for _, value in fields):
        fields = [(name, value.replace("@TOKEN@", request.getfixturevalue("person"))) for name, value in fields]
    what = host, authority, cert, method, target, fields, body, length
    one, two = met(world, over_h1, *what), met(world, over_h2, *what)
    if status in (417, 431) or len(target) > 16384:  # a head that HTTP/1.1 stops reading: nothing of it is told, or another detail
        two["event"] = {name: two["event"][name] for name in two["event"] if name in one["event"]}
        del one["event"]["belfry.detail"], two["event"]["belfry.detail"]
    assert one == two
    assert one["status"] == status and len(one["seen"]) == (1 if status == 200 else 0)
