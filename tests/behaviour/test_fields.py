# SPDX-License-Identifier: EUPL-1.2
"""What passes the gateway with a head, and what doesn't: nobody but the gateway says who the caller is, and of the
gateway's own cookies and names an application sees and sets nothing."""

import base64
import json
import re
import time

import jwt
import pytest

from callers import H2, read_answer

OPEN = "open.finance.localhost"
MAYBE = "maybe.finance.localhost"
TAX = "tax.finance.localhost"

# What a client could claim to be, or where to be, or make an application do.
FORGED = [
    "belfry-assertion", "belfry-reference", "belfry-anything", "x-belfry-user", "forwarded", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-user",
    "x-forwarded-email", "x-forwarded-client-cert", "x-forwarded", "x-real-ip", "x-client-ip", "true-client-ip",
    "cf-connecting-ip", "fastly-client-ip", "x-cluster-client-ip", "x-original-forwarded-for", "x-original-host",
    "x-originating-ip", "x-remote-ip", "x-remote-addr", "remote-addr", "x-envoy-external-address", "client-cert",
    "client-cert-chain", "x-client-cert", "ssl-client-cert", "ssl-client-s-dn", "ssl-client-verify", "x-ssl-client-cn",
    "x-ssl-cert", "x-tls-client-subject", "x-arr-clientcert", "x-spiffe-id", "remote-user", "x-remote-user", "x-user",
    "x-auth-user", "x-authenticated-user", "x-webauth-user", "x-auth-request-email", "auth-user", "oidc-claim-sub",
    "oidc-access-token", "x-ms-client-principal", "x-ms-client-principal-name", "x-goog-iap-jwt-assertion",
    "x-goog-authenticated-user-email", "x-amzn-oidc-data", "x-amzn-oidc-identity", "x-original-url", "x-original-uri",
    "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override", "x-host", "proxy", "x-script-name",
    "x-accel-redirect", "x-sendfile", "x-middleware-subrequest", "proxy-authorization",
    "proxy-authentication-info", "proxy-connection", "keep-alive",
]
ALIASES = {
    "as it is": lambda name: name,
    "with _": lambda name: name.replace("-", "_"),
    "with .": lambda name: name.replace("-", "."),
    "with both": lambda name: name.replace("-", "_", 1).replace("-", "."),
    "with what CGI folds too": lambda name: name.replace("-", "~"),
    "in capitals": str.upper,
    "in capitals with _": lambda name: name.upper().replace("-", "_"),
}
VALUE = "forged-by-the-client"


def raw_h1(world, lines, host=OPEN, method="GET", path="/fields-of", body=b"", cert=None):
    with world.tls(host, cert=cert) as tls:
        tls.sendall(f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n".encode() +
                    "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body)
        return read_answer(tls)[0]


def in_groups(names, size=40):
    return [names[i:i + size] for i in range(0, len(names), size)]


@pytest.mark.parametrize("alias", list(ALIASES))
@pytest.mark.parametrize("http", ["1.1", "2"])
def test_what_a_client_could_forge_never_arrives(world, alias, http):
    names = [ALIASES[alias](name) for name in FORGED]
    if http == "2":
        names = [name for name in map(str.lower, names) if name not in ("proxy-connection", "keep-alive")]  # RFC 9113 §8.2.2
    for group in in_groups(names):
        if http == "1.1":
            answer = raw_h1(world, [f"{name}: {VALUE}" for name in group] + ["x-kept: yes"])
        else:
            with H2(world.tls(OPEN, alpn=("h2",))) as h2:
                answer = h2.ask(OPEN, "/fields-of", headers=[(name, VALUE) for name in group] + [("x-kept", "yes")])
        assert answer.status == 200, answer
        seen = world.origin.requests.pop()
        assert VALUE.encode() not in seen.raw, seen.raw
        assert seen.get("x-kept") == "yes"
        for own in ("belfry-assertion", "belfry-reference", "forwarded", "via", "traceparent"):
            assert len(seen.all(own)) == 1, own


def test_to_name_a_field_in_connection_saves_no_forgery_and_hides_none_of_ours(world):
    named = ["belfry-assertion", "Belfry_Assertion", "belfry-reference", "forwarded", "x-forwarded-for", "traceparent",
             "via", "host", "content-length", "transfer-encoding", "x-private", "X-Secret"]
    raw_h1(world, [f"connection: close, {', '.join(named[:6])}", f"connection: {','.join(named[6:])}", "x-private: hidden",
                   "x_private: hidden", "x-secret: hidden", "x-kept: yes", f"belfry-assertion: {VALUE}",
                   f"x-forwarded-for: {VALUE}", "content-length: 4"], method="POST", body=b"body")
    (seen,) = world.origin.requests
    assert VALUE.encode() not in seen.raw and b"hidden" not in seen.raw
    assert seen.body == b"body" and seen.get("x-kept") == "yes" and seen.all("host") == [OPEN]
    for own in ("belfry-assertion", "belfry-reference", "forwarded", "via", "traceparent"):
        assert len(seen.all(own)) == 1, own
    assert seen.get("connection") is None


def test_hop_by_hop_fields_of_a_request_end_at_the_gateway(world):
    raw_h1(world, ["connection: keep-alive, upgrade, te", "upgrade: h2c", "te: trailers", "trailer: x-a",
                   "keep-alive: timeout=5", "proxy-connection: keep-alive", "http2-settings: AAMAAABk", "x-kept: yes"])
    (seen,) = world.origin.requests
    assert {name for name, _ in seen.fields} == {"host", "x-kept", "forwarded", "via", "traceparent", "belfry-reference",
                                                 "belfry-assertion", "te", "connection"}
    assert (seen.get("te"), seen.get("connection")) == ("trailers", "te")  # ours: we do carry trailers (RFC 9110 §10.1.4)


# Cookies

OURS = "__Host-belfry=secret"
THEIRS = ['a=b', 'quoted="x, y"', "empty=", "=nameless", "a=b=c", "no-value", "belfry=mine", "__Host-other=kept", "utf=\xc3\xa9"]


def test_cookies_without_any_of_ours_pass_byte_for_byte(world):
    odd = 'a=b;c=d;  e="f g" ; h=,i; ;; j'
    raw_h1(world, [f"cookie: {odd}"])
    assert world.origin.requests[0].all("cookie") == [odd]


@pytest.mark.parametrize("place", [0, 4, len(THEIRS)])
@pytest.mark.parametrize("own", [OURS, "__Host-belfry-try-1234=secret", "__Host-belfry", "__Host-belfry = secret"])
def test_our_cookies_are_taken_out_and_theirs_stay(world, own, place):
    pairs = [*THEIRS[:place], own, *THEIRS[place:]]
    raw_h1(world, ["cookie: " + "; ".join(pairs)])
    assert world.origin.requests[0].all("cookie") == ["; ".join(THEIRS)]


@pytest.mark.parametrize("count", [10, 6000])
def test_beside_one_of_ours_the_others_may_stand_as_close_as_they_like(world, count):
    others = [str(i % 10) for i in range(count)]
    raw_h1(world, ["cookie: " + ";".join([OURS, *others])])
    assert world.origin.requests[0].all("cookie") == ["; ".join(others)]


def test_of_our_cookies_alone_nothing_is_left(world):
    raw_h1(world, [f"cookie: {OURS}; __Host-belfry-try-1=secret", f"cookie: {OURS}", "x-kept: yes"])
    (seen,) = world.origin.requests
    assert seen.all("cookie") == [] and b"secret" not in seen.raw and seen.get("x-kept") == "yes"


def test_crumbs_of_h2_become_one_field_without_ours(world):
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        crumbs = ["a=b", OURS, "c=d; e=f", f"{OURS}; g=h", "i=j"]
        h2.ask(OPEN, "/", headers=[("cookie", crumb) for crumb in crumbs])
    assert world.origin.requests[0].all("cookie") == ["a=b; c=d; e=f; g=h; i=j"]


# The assertion


def keys_of(world, host):
    answer = world.ask(host, "/.belfry/jwks.json")
    assert answer.status == 200 and answer.get("content-type") == "application/jwk-set+json"
    assert world.ask(host, "/.well-known/belfry/jwks.json").body == answer.body
    keys = json.loads(answer.body)["keys"]
    assert keys and all("d" not in key and key["alg"] == "ES256" and key["crv"] == "P-256" for key in keys)
    return {key["kid"]: jwt.PyJWK(key).key for key in keys}


def test_what_else_is_well_known_is_the_applications(world):
    for path in ("/.well-known/security.txt", "/.well-known/belfryx/jwks.json", "/.well-known", "/belfry/jwks.json"):
        world.origin.clear()
        assert world.ask(OPEN, path).status == 200
        assert [r.target for r in world.origin.requests] == [path]
    world.origin.clear()
    for path in ("/.well-known/belfry/", "/.well-known/belfry/jwks.json/", "/.well-known/BELFRY/other"):
        assert world.ask(OPEN, path).status == 404
    assert not world.origin.requests


def test_the_assertion_verifies_and_says_who_and_what(world):
    token = world.token("finance", "anna")
    answer = world.ask(TAX, "/declarations/1", cert="laptop-0001", token=token)
    assert answer.status == 200
    (seen,) = world.origin.requests
    text = seen.get("belfry-assertion")
    header = jwt.get_unverified_header(text)
    assert header["alg"] == "ES256" and set(header) == {"alg", "typ", "kid"}
    keys = keys_of(world, MAYBE)  # the same entity's, also where no device is needed
    claims = jwt.decode(text, keys[header["kid"]], algorithms=["ES256"], audience="tax-desk", issuer=f"https://{TAX}")
    theirs = jwt.decode(token, options={"verify_signature": False})
    assert claims["sub"] == theirs["sub"] and claims["groups"] == theirs["roles"] and claims["provider"] == "fas"
    assert claims["entity"] == "fod-finance" and claims["device"]["trust"] == "managed" and claims["device"]["id"]
    assert 0 < claims["exp"] - claims["iat"] <= 60 and abs(time.time() - claims["iat"]) < 35
    assert claims["exp"] <= theirs["exp"]
    assert seen.get("authorization") is None and token.encode() not in seen.raw
    with pytest.raises(jwt.InvalidSignatureError):
        head, body, signature = text.split(".")
        forged = json.loads(base64.urlsafe_b64decode(body + "=="))
        forged["sub"] = "root"
        body = base64.urlsafe_b64encode(json.dumps(forged).encode()).rstrip(b"=").decode()
        jwt.decode(f"{head}.{body}.{signature}", keys[header["kid"]], algorithms=["ES256"], audience="tax-desk")


def test_the_assertion_is_used_again_for_the_same_facts_and_never_for_others(world):
    anna, bram = world.token("finance", "anna"), world.token("finance", "anna")
    assert anna != bram  # two tokens of one person: what they say may differ
    seen = []
    for token, cert in ((anna, "laptop-0001"), (anna, "laptop-0001"), (bram, "laptop-0001")):
        with world.tls(TAX, cert=cert) as tls:
            for _ in range(2):
                tls.sendall(f"GET /declarations/1 HTTP/1.1\r\nhost: {TAX}\r\nauthorization: Bearer {token}\r\n\r\n".encode())
                assert read_answer(tls)[0].status == 200
                seen.append(world.origin.requests[-1].get("belfry-assertion"))
    assert seen[0] == seen[1]
    raw_h1(world, [], host=MAYBE, path="/open/a")
    stranger = jwt.decode(world.origin.requests[-1].get("belfry-assertion"), options={"verify_signature": False})
    assert "sub" not in stranger and "device" not in stranger and stranger["aud"] == "maybe"


# Forwarded, Via, trace


def test_forwarded_says_what_the_gateway_saw(world):
    raw_h1(world, ["forwarded: for=10.0.0.1;host=evil.example;proto=http", "x-forwarded-for: 10.0.0.1"])
    assert world.origin.requests[0].all("forwarded") == [f"for=127.0.0.1;host={OPEN};proto=https;by=_belfry"]


@pytest.mark.parametrize("http,ours", [("1.1", "1.1 belfry"), ("2", "2 belfry")])
def test_via_is_ours_behind_those_that_were_there(world, http, ours):
    world.ask(OPEN, "/none", http=http)
    world.ask(OPEN, "/some", http=http, headers=["via: 1.0 fred, 1.1 p.example"])
    none, some = world.origin.requests
    assert none.all("via") == [ours] and some.all("via") == [f"1.0 fred, 1.1 p.example, {ours}"]


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.mark.parametrize("came,flags", [(f"00-{TRACE}-{PARENT}-01", "01"), (f"00-{TRACE}-{PARENT}-00", "00"),
                                        (f"00-{TRACE}-{PARENT}-ff", "01"), (f"cc-{TRACE}-{PARENT}-01-what", "01")])
def test_a_good_trace_goes_on_under_a_new_parent(world, came, flags):
    answer = raw_h1(world, [f"traceparent: {came}", "tracestate: a=1,b=2"])
    (seen,) = world.origin.requests
    version, trace, parent, sampled = seen.get("traceparent").split("-")
    assert (version, trace, sampled) == ("00", TRACE, flags) and parent != PARENT and re.fullmatch(r"[0-9a-f]{16}", parent)
    assert seen.all("tracestate") == ["a=1,b=2"]
    assert world.decision(answer.get("belfry-reference"))["trace.id"] == TRACE


@pytest.mark.parametrize("came", [None, "", "nonsense", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01",
                                  f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-x",
                                  f"00-{TRACE}-{PARENT}"])
def test_a_bad_trace_is_begun_anew_and_its_state_dropped(world, came):
    raw_h1(world, ([] if came is None else [f"traceparent: {came}"]) + ["tracestate: a=1"])
    (seen,) = world.origin.requests
    (made,) = seen.all("traceparent")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", made) and TRACE not in made and "0" * 16 not in made
    assert seen.get("tracestate") is None


def test_the_reference_is_one_for_application_client_and_audit(world):
    answer = raw_h1(world, [])
    (seen,) = world.origin.requests
    assert seen.get("belfry-reference") == answer.get("belfry-reference")
    assert world.decision(answer.get("belfry-reference"))["event.id"] == seen.get("belfry-reference")


def test_both_protocols_ask_the_application_the_same(world):
    fields = [("accept", "*/*"), ("accept-language", "nl"), ("x-odd", "  a \t b  ".strip()), ("cookie", f"a=b; {OURS}; c=d"),
              ("if-none-match", '"e"'), ("range", "bytes=0-9"), ("x-empty", ""), ("x-twice", "1"), ("x-twice", "2"),
              ("x-utf", "caf\xe9"), ("authorization", "Basic YTpi"), ("user-agent", "tests/1")]
    path = "/a%20b/%7Euser/c%2cd?q=1&r=%2F%252e;x"
    for method, body in (("GET", None), ("POST", b"body"), ("DELETE", None), ("PATCH", b""), ("PURGE", None)):
        length = [] if body is None else [("content-length", str(len(body)))]
        lines = [f"{name}: {value}" for name, value in [*fields, *length]]
        raw_h1(world, [line.encode("latin-1").decode("latin-1") for line in lines], method=method, path=path, body=body or b"")
        with H2(world.tls(OPEN, alpn=("h2",))) as h2:
            encoded = [(name.encode(), value.encode("latin-1")) for name, value in [*fields, *length]]
            assert h2.ask(OPEN, path, method=method, headers=encoded, body=body).status == 200
        one, two = world.origin.requests[-2:]
        of_each = ("via", "belfry-reference", "traceparent", "belfry-assertion")  # the last is made by each worker
        assert one.line == two.line and one.body == two.body
        strip = [[field for field in r.fields if field[0] not in of_each] for r in (one, two)]
        assert strip[0] == strip[1]
        said = [jwt.decode(r.get("belfry-assertion"), options={"verify_signature": False}) for r in (one, two)]
        first, second = [{**claims, "iat": 0, "exp": 0} for claims in said]
        assert first == second
        assert [len(r.all(name)) for r in (one, two) for name in of_each] == [1] * 8


# Answers


def answer_to(world, http, head, body=b"ok"):
    raw = b"HTTP/1.1 200 OK\r\n" + head.encode("latin-1") + f"content-length: {len(body)}\r\n\r\n".encode() + body
    if http == "1.1":
        return raw_h1(world, [], path=f"/answers/{raw.hex()}")
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        return h2.ask(OPEN, f"/answers/{raw.hex()}")


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_an_application_sets_none_of_our_names(world, http):
    answer = answer_to(world, http, "set-cookie: __Host-belfry=x; Secure; Path=/\r\nSet-Cookie:\t__Host-belfry-try-1=x\r\n"
                                    "set-cookie: =__Host-belfry=x\r\nset-cookie: theirs=1; Path=/\r\nset-cookie: belfry=2\r\n"
                                    "belfry-assertion: x\r\nbelfry-reference: x\r\nBelfry_Reference: x\r\n")
    assert answer.all("set-cookie") == ["theirs=1; Path=/", "belfry=2"]
    assert [name for name, _ in answer.fields if "belfry" in name] == ["belfry-reference"]
    assert answer.get("belfry-reference") != "x"


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_hop_by_hop_fields_of_an_answer_end_at_the_gateway(world, http):
    answer = answer_to(world, http, "connection: keep-alive, x-private\r\nconnection: x-other\r\nx-private: a\r\nx-other: a\r\n"
                                    "keep-alive: timeout=5\r\nproxy-connection: close\r\nte: a\r\ntrailer: a\r\nupgrade: h2c\r\n"
                                    "proxy-authenticate: Basic\r\nx-kept: yes\r\netag: \"a\"\r\nvia: 1.1 theirs\r\n")
    names = [name for name, _ in answer.fields]
    assert sorted(names) == sorted(["x-kept", "etag", "content-length", "date", "via", "via", "belfry-reference", "strict-transport-security"])
    assert answer.all("via") == ["1.1 theirs", "1.1 belfry"]


@pytest.mark.parametrize("http", ["1.1", "2"])
@pytest.mark.parametrize("named", ["content-length", "Content-Length, x-a", "transfer-encoding", "belfry-reference, via"])
def test_connection_has_no_say_in_our_framing_with_the_client(world, named, http):
    answer = answer_to(world, http, f"connection: {named}\r\n", b"whole")
    assert answer.body == b"whole" and answer.get("content-length") == "5" and answer.get("belfry-reference")


def test_authorization_of_another_kind_is_the_applications(world):
    raw_h1(world, ["authorization: Basic YTpi"])
    assert world.origin.requests[0].get("authorization") == "Basic YTpi"


@pytest.mark.parametrize("said", ["Bearer a~b", "Bearer\ta~b", "bearer,a~b", "DPoP\ta~b", "NTLM\ta~b", "Negotiate\ta~b"])
def test_what_nobody_verified_or_is_a_connections_does_not_reach_the_application(world, said):
    answer = raw_h1(world, [f"authorization: {said}"])
    assert answer.status == (401 if said.lower().startswith(("bearer", "dpop")) else 200)
    assert all(b"a~b" not in r.raw for r in world.origin.requests)  # no letter of hex or base64


@pytest.mark.parametrize("length, status", [(32, 200), (33, 400)])
def test_a_method_is_as_long_in_one_protocol_as_in_the_other(world, length, status):
    method = "M" * length
    assert raw_h1(world, [], method=method).status == status
    with H2(world.tls(OPEN, alpn=("h2",))) as h2:
        assert h2.ask(OPEN, "/fields-of", method=method).status == status
