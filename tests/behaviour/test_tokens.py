# SPDX-License-Identifier: EUPL-1.2
"""Tokens end to end: real ones of real providers come in; whatever can be forged from what an attacker has (good
tokens, the published keys, keys of his own) does not, and no application sees it."""

import concurrent.futures
import json
import threading
import time

import pytest

import forger
from callers import CALLERS, H2, check_refusal
from conftest import check_end
from forger import Signer, b64, hmac_signed, number, part, split, with_own_provider
from scenery import ENTITIES, Line
from world import UNLIMITED, World, until

TAX = "tax.finance.localhost"
TOKEN = "token.finance.localhost"
CLAIMS = "claims.health.localhost"
SIGNED = "signed.finance.localhost"
OWN = "https://own.finance.example"


@pytest.fixture(scope="module")
def keys(world):
    """What the real provider publishes, by algorithm."""
    answer = provider(world, "finance", "GET", "/jwks")
    return {key["alg"]: key for key in answer["keys"]}


@pytest.fixture(scope="module")
def signer():
    return Signer("own-1")


@pytest.fixture(scope="module")
def signed(signer):
    """A gateway with a provider whose keys the bundle holds, so that we can sign what no real provider would."""
    with World(workers=1, hosts=[SIGNED]) as made:
        made.begin()
        made.update("finance", lambda text: with_own_provider(text, signer, OWN, "leeway: 0s\nclaims: { groups: roles }") + f"""
  - id: signed
    host: {SIGNED}
    device: none
    identity_providers: [own]
    upstreams: [http://127.0.0.1:{made.origin.port}]
    rules:
      - id: any-user
        permit: {{}}
        when: 'user.subject != ""'
""")
        yield made
        check_end(made)


def provider(world, name, method, path):
    line = Line(int(world.providers[name]["issuer"].rsplit(":", 1)[1]), "idp.localhost", world.trust)
    status, _, body = line.ask(method, path)
    line.close()
    assert status == 200
    return json.loads(body)


def bearer(token):
    return [("authorization", f"Bearer {token}")]


def present(world, host, tokens):
    """Presents each (name, token, reasons) on one connection; returns what went otherwise than it should."""
    wrong = []
    world.origin.clear()
    with H2(world.tls(host, alpn=("h2",))) as h2:
        for name, token, reasons in tokens:
            answer = h2.ask(host, "/forged", headers=bearer(token))
            if (answer.status, answer.problem) != (401, "invalid_token"):
                wrong.append((name, answer))
                continue
            # Each is waited for: refusals of the unknown above a rate are only counted.
            reason = world.decision(answer.get("belfry-reference"))["belfry.reason_code"]
            check_refusal(world, answer, "service", 401, reason, problem="invalid_token")
            if reason not in reasons:
                wrong.append((name, reason))
    assert not world.origin.requests
    return wrong


MALFORMED = ("token_malformed",)
SIGNATURE = ("token_signature",)
ALGORITHM = ("token_algorithm",)


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_the_real_thing_comes_in_under_both_algorithms(world, alg):
    for http in ("1.1", "2"):
        assert world.ask(TOKEN, "/", token=world.token("finance", "anna", alg=alg), http=http).status == 200
    for scheme in ("bearer", "BEARER"):
        token = world.token("finance", "anna", alg=alg)
        assert world.ask(TOKEN, "/", headers=[f"authorization: {scheme} {token}"]).status == 200


def test_no_spelling_of_none_is_an_algorithm(world):
    header, payload, signature = split(world.token("finance", "anna"))
    tokens = []
    for alg in ("none", "None", "NONE", "nOnE", "none ", "", "null", "es256", "ES256\0", "ES512", "PS256", "EdDSA"):
        head = part({**header, "alg": alg})
        for end in ("", b64(signature), "AA"):
            tokens.append((f"{alg!r} with {end[:4]!r}", f"{head}.{part(payload)}.{end}", ALGORITHM + MALFORMED))
    for alg in (None, ["none"], ["ES256"], 0, {}):
        tokens.append((repr(alg), f"{part({**header, 'alg': alg})}.{part(payload)}.{b64(signature)}", MALFORMED))
    del header["alg"]
    tokens.append(("no alg", f"{part(header)}.{part(payload)}.{b64(signature)}", MALFORMED))
    tokens.append(("no alg and no signature", f"{part(header)}.{part(payload)}.", MALFORMED))
    assert not present(world, TOKEN, tokens)


def test_a_public_key_is_no_secret(world, keys):
    tokens = []
    for alg, jwk in keys.items():
        header, payload, _ = split(world.token("finance", "anna", alg=alg))
        assert header["kid"] == jwk["kid"]
        for form, secret in forger.forms_of(jwk).items():
            for name in ("HS256", "HS384", "HS512", "ES256", "RS256"):
                digest = f"sha{name[2:]}"
                tokens.append((f"{name} with {alg} key as {form}",
                               hmac_signed({**header, "alg": name}, payload, secret, digest),
                               ALGORITHM if name[0] == "H" else SIGNATURE + ("token_key_unknown",)))
    assert not present(world, TOKEN, tokens)


def test_a_signature_that_is_not_exactly_the_keys_is_none(world):
    token = world.token("finance", "anna")
    header, payload, signature = split(token)
    signed = token.rsplit(".", 1)[0]
    order = forger.P256_ORDER
    r, s = signature[:32], signature[32:]
    bad = {
        "nothing": b"", "one byte": b"\0", "r alone": r, "a byte less": signature[:-1],
        "a byte more": signature + b"\0",
        "a byte in front": b"\0" + signature, "DER": forger.der(signature), "zero": b"\0" * 64,
        "r of zero": b"\0" * 32 + s, "s of zero": r + b"\0" * 32, "r of the order": number(order) + s,
        "s of the order": r + number(order), "ones": b"\xff" * 64, "swapped": s + r, "twice": signature * 2,
        "one": number(1) * 2, "DER of zero": forger.der(b"\0" * 64),
    }
    for i in (0, 31, 32, 63):
        changed = bytearray(signature)
        changed[i] ^= 1
        bad[f"bit of byte {i}"] = bytes(changed)
    tokens = [(name, f"{signed}.{b64(value)}", SIGNATURE + MALFORMED) for name, value in bad.items()]
    # 64 bytes leave four bits of the last letter over: another letter there is another text of the same bytes.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(token[-1]) ^ 1]
    tokens += [("another last letter", token[:-1] + other, MALFORMED), ("padding", token + "==", MALFORMED),
               ("a dot", token + ".", MALFORMED), ("two dots", token + "..", MALFORMED),
               ("no dot", token.replace(".", ""), MALFORMED), ("dots alone", "..", MALFORMED),
               ("without its header", "." + token.split(".", 1)[1], MALFORMED),
               ("with a space", token[:20] + " " + token[20:], MALFORMED),
               ("as JSON", json.dumps({"payload": token.split(".")[1], "signatures": []}), MALFORMED),
               ("a comma and another", f"{token},{token}", MALFORMED),
               ("too long", token + "A" * 8192, MALFORMED)]
    assert not present(world, TOKEN, tokens)
    assert world.ask(TOKEN, token=token).status == 200  # the exact one is good


def test_a_good_signature_is_good_for_its_own_bytes_only(world, keys):
    bart, anna = (world.token("finance", name) for name in ("bart", "anna"))
    header, payload, signature = split(bart)
    others = {"more groups": {**payload, "roles": ["tax-officers"]}, "another": {**payload, "sub": "anna"},
              "longer": {**payload, "exp": payload["exp"] + 3600}, "bound to nothing": {**payload, "cnf": {}}}
    tokens = [(name, f"{part(header)}.{part(other)}.{b64(signature)}", SIGNATURE) for name, other in others.items()]
    parts = [token.split(".") for token in (bart, anna)]
    tokens += [("anna's claims", f"{parts[0][0]}.{parts[1][1]}.{parts[0][2]}", SIGNATURE),
               ("anna's signature", f"{parts[0][0]}.{parts[0][1]}.{parts[1][2]}", SIGNATURE),
               ("another writing", f"{part(json.dumps(header, indent=1))}.{parts[0][1]}.{parts[0][2]}", SIGNATURE),
               ("the other key", f"{part({**header, 'kid': keys['RS256']['kid']})}.{parts[0][1]}.{parts[0][2]}",
                SIGNATURE + ("token_key_unknown",)),
               ("the other algorithm", f"{part({**header, 'alg': 'RS256'})}.{parts[0][1]}.{parts[0][2]}",
                SIGNATURE + ("token_key_unknown",))]
    assert not present(world, TOKEN, tokens)


def test_a_key_that_the_token_brings_along_is_not_looked_at(world):
    mine = Signer()
    header, payload, _ = split(world.token("finance", "anna"))
    fetched = world.metric("belfry_jwks_fetches_total"), world.origin.connections
    url = f"https://127.0.0.1:{world.origin.port}/keys"
    tokens = [("another's key under its name", mine.sign(header, payload), SIGNATURE)]
    for name, more in (("jwk", {"jwk": mine.jwk}), ("jku", {"jku": url}), ("x5u", {"x5u": url}),
                       ("x5c", {"x5c": ["MIIB"]}), ("x5t", {"x5t#S256": "A" * 43})):
        tokens.append((name, mine.sign({**header, **more}, payload), SIGNATURE))
    assert not present(world, TOKEN, tokens)
    # Neither its own name nor none brings the key along.
    for name, head in (("its own kid", {**header, "kid": "ours", "jwk": mine.jwk}),
                       ("no kid", {k: v for k, v in {**header, "jwk": mine.jwk}.items() if k != "kid"})):
        assert not present(world, TOKEN, [(name, mine.sign(head, payload), SIGNATURE + ("token_key_unknown",))])
    assert world.origin.connections == fetched[1]
    assert world.metric("belfry_jwks_fetches_total") <= fetched[0] + 1


@pytest.mark.parametrize("short", [",", "a,", "a,b", "a,bc"])
def test_roles_that_do_not_fit_the_audit_are_cut_within_their_room(signed, signer, short):
    """A mark that stands for a group is longer than a short one: at each length that the others may have."""
    now = int(time.time())
    head = {"alg": "ES256", "typ": "at+jwt", "kid": "own-1"}
    claims = {"iss": OWN, "aud": "own-api", "sub": "somebody", "client_id": "c", "jti": "j", "iat": now - 1, "exp": now + 60}
    for length in range(96, 129):
        groups = ["a" * 128, "b" * 128, "c" * 128, "d" * length, short, "x"]
        answer = signed.ask(SIGNED, token=signer.sign(head, {**claims, "roles": groups}))
        assert answer.status == 200, length
        roles = signed.decision(answer.get("belfry-reference"))["user.roles"]
        assert roles[:3] == groups[:3] and "[cut]" in roles and len(",".join(roles)) <= 512
    assert signed.processes["gateway"].poll() is None


def test_no_other_issuers_token_counts_however_it_is_addressed(world):
    health = world.token("health", "dirk", audience="tax-api,health-api,belfry")
    assert not present(world, TOKEN, [("another entity's", health, ("token_issuer",))])
    assert world.ask(CLAIMS, cert="tablet-0001", token=health).status == 200
    assert not present(world, TOKEN, [("another entity's, used before", health, ("token_issuer",))])
    finance = world.token("finance", "anna", groups="case-workers", audience="tax-api,health-api")
    assert world.ask(TOKEN, token=finance).status == 200
    answer = world.ask(CLAIMS, cert="tablet-0001", token=finance)
    check_refusal(world, answer, "service", 401, "token_issuer", problem="invalid_token")


def test_audience_and_time_of_a_real_token_are_looked_at(world):
    assert not present(world, TOKEN, [
        ("another audience", world.token("finance", "anna", audience="health-api"), ("token_audience",)),
        ("part of it", world.token("finance", "anna", audience="tax-ap,tax-api2"), ("token_audience",)),
        ("expired", world.token("finance", "anna", age=700), ("token_expired",)),
        ("of tomorrow", world.token("finance", "anna", age=-86400), ("token_not_yet_valid",)),
        ("of a year", world.token("finance", "anna", ttl=31536000), ("token_expired",)),
    ])


def test_what_is_signed_is_still_judged(signed, signer):
    """Good signatures of a known provider on tokens that are not what they must be."""
    now = int(time.time())

    def token(**changes):
        return signer.token(OWN, "own-api", **changes)

    def claims(**payload):
        return token(payload=payload)

    assert signed.ask(SIGNED, token=token()).status == 200
    good = json.loads(forger.unb64(token().split(".")[1]))
    text = json.dumps(good)
    head = {"alg": "ES256", "typ": "at+jwt", "kid": signer.kid}
    tokens = [(f"without {name}", token(without=[name]), MALFORMED) for name in ("exp", "iat", "sub")]
    tokens += [
        ("without aud", token(without=["aud"]), ("token_audience",)),
        ("without iss", token(without=["iss"]), ("token_issuer",)),
        ("without typ", token(without=["typ"]), ("token_type",)),
        ("an id token", token(header={"typ": "JWT"}), ("token_type",)),
        ("a logout token", token(header={"typ": "logout+jwt"}), ("token_type",)),
        ("a typ that is longer", token(header={"typ": "at+jwt2"}), ("token_type",)),
        ("crit", token(header={"crit": ["exp"], "exp": now + 60}), ("token_critical",)),
        ("crit of nothing", token(header={"crit": []}), ("token_critical",)),
        ("crit b64", token(header={"crit": ["b64"], "b64": True}), ("token_critical",)),
        ("another kid", token(header={"kid": "own-2"}), ("token_key_unknown",)),
        ("a kid that is no text", token(header={"kid": 1}), MALFORMED),
        ("a token within", token(header={"cty": "JWT"}), MALFORMED),
        ("expired", claims(exp=now - 1), ("token_expired",)),
        ("expired for long", claims(iat=now - 7200, exp=now - 3600), ("token_expired",)),
        ("not yet", claims(nbf=now + 60), ("token_not_yet_valid",)),
        ("issued tomorrow", claims(iat=now + 60), ("token_not_yet_valid",)),
        ("for ever", claims(exp=now + 10**9), ("token_expired",)),
        ("exp as text", claims(exp=str(now + 300)), MALFORMED),
        ("exp as a fraction", claims(exp=now + 300.5), MALFORMED),
        ("exp below zero", claims(exp=-1), MALFORMED + ("token_expired",)),
        ("exp beyond numbers", signer.sign(head, text.replace(str(good["exp"]), "1e400")), MALFORMED),
        ("exp as a power", signer.sign(head, text.replace(str(good["exp"]), "4e9")), MALFORMED),
        ("exp of nothing", claims(exp=None), MALFORMED),
        ("nbf as text", claims(nbf="0"), MALFORMED),
        ("aud of another", claims(aud="own-api2"), ("token_audience",)),
        ("aud in another case", claims(aud="OWN-API"), ("token_audience",)),
        ("aud of none", claims(aud=[]), ("token_audience",)),
        ("aud that is no text", claims(aud=[1, "own-api"]), MALFORMED),
        ("aud in an object", claims(aud={"own-api": True}), MALFORMED),
        ("iss of another", claims(iss=OWN + "/"), ("token_issuer",)),
        ("iss as a list", claims(iss=[OWN]), ("token_issuer",) + MALFORMED),
        ("sub of nothing", claims(sub=""), MALFORMED),
        ("sub as a number", claims(sub=1), MALFORMED),
        ("sub with NUL", claims(sub="a\0b"), MALFORMED),
        ("sub with a line end", claims(sub="a\nb"), MALFORMED),
        ("sub that is long", claims(sub="a" * 300), MALFORMED),
        ("roles that are no list", claims(roles={"staff": True}), MALFORMED),
        ("roles that are no texts", claims(roles=[1]), MALFORMED),
        ("bound to a key, without a proof", claims(cnf={"jkt": "A" * 43}), ("token_binding",)),
        ("bound to two", claims(cnf={"jkt": "A" * 43, "x5t#S256": "A" * 43}), ("token_binding",)),
        ("bound to another kind of key", claims(cnf={"kid": "A" * 43}), ("token_binding",)),
        ("bound to a key and more", claims(cnf={"x5t#S256": "A" * 43, "jwk": {}}), ("token_binding",)),
        ("bound to a short one", claims(cnf={"x5t#S256": "AAAA"}), MALFORMED),
        ("bound to nothing", claims(cnf=""), MALFORMED),
        ("two subs", signer.sign(head, text[:-1] + ',"sub":"root"}'), MALFORMED),
        ("two exps", signer.sign(head, '{"exp":9999999999,' + text[1:]), MALFORMED),
        ("two algs", signer.sign('{"alg":"none","typ":"at+jwt","kid":"own-1","alg":"ES256"}', text), MALFORMED),
        ("two auds by escape", signer.sign(head, text[:-1] + ',"\\u0061ud":"own-api"}'), MALFORMED),
        ("bytes behind", signer.sign(head, text + "{}"), MALFORMED),
        ("a list", signer.sign(head, "[]"), MALFORMED),
        ("no JSON", signer.sign(head, "abc"), MALFORMED),
        ("a comment", signer.sign(head, "/**/" + text), MALFORMED),
        ("no UTF-8", signer.sign(head, text.encode().replace(b"somebody", b"some\xff")), MALFORMED),
        ("a surrogate", signer.sign(head, text.replace("somebody", "\\ud800")), MALFORMED),
        ("deep", signer.sign(head, text[:-1] + ',"x":' + "[" * 3000 + "]" * 3000 + "}"), MALFORMED),
    ]
    assert not present(signed, SIGNED, tokens)
    assert signed.ask(SIGNED, token=token(header={"typ": "application/at+JWT"})).status == 200  # RFC 9068 §2.1


def test_a_token_that_ends_while_it_is_known_ends(signed, signer):
    token = signer.token(OWN, "own-api", payload={"exp": int(time.time()) + 3})
    hits = signed.metric("belfry_token_cache_hits_total")
    with H2(signed.tls(SIGNED, alpn=("h2",))) as h2:
        assert h2.ask(SIGNED, headers=bearer(token)).status == 200
        assert h2.ask(SIGNED, headers=bearer(token)).status == 200
        assert signed.metric("belfry_token_cache_hits_total") == hits + 1, "it was not remembered"
        answer = until(lambda: (a := h2.ask(SIGNED, headers=bearer(token))).status != 200 and a, "it never ends")
        check_refusal(signed, answer, "service", 401, "token_expired", problem="invalid_token")
        assert h2.ask(SIGNED, headers=bearer(token)).status == 401


def test_a_token_that_begins_later_begins(signed, signer):
    token = signer.token(OWN, "own-api", payload={"nbf": int(time.time()) + 2})
    answer = signed.ask(SIGNED, token=token)
    check_refusal(signed, answer, "service", 401, "token_not_yet_valid", problem="invalid_token")
    until(lambda: signed.ask(SIGNED, token=token).status == 200, "it never begins")


def test_a_token_elsewhere_than_in_its_field_is_none(world):
    token = world.token("finance", "anna")
    for headers, path in (([f"cookie: access_token={token}"], "/"), ([], f"/?access_token={token}"),
                          ([f"x-authorization: Bearer {token}"], "/"), ([f"proxy-authorization: Bearer {token}"], "/"),
                          (["authorization: Bearer"], "/"), ([f"authorization: Bearer{token}"], "/")):
        answer = world.ask(TOKEN, path, headers=headers)
        assert answer.status == 401, headers
    assert not world.origin.requests


# RFC 8705: bound to a certificate


def test_a_bound_token_is_worth_something_with_its_certificate_only(world):
    token = world.token("finance", "anna", thumbprint=forger.thumbprint(world.client("laptop-0001")[0]))
    for _ in range(2):  # new, and remembered
        answer = world.ask(TAX, "/declarations/1", cert="laptop-0002", token=token)
        check_refusal(world, answer, "service", 401, "token_binding", problem="invalid_token")
        answer = world.ask(TOKEN, "/", token=token)  # no certificate at all
        check_refusal(world, answer, "service", 401, "token_binding", problem="invalid_token")
        assert not world.origin.requests
        for http in ("1.1", "2"):
            assert world.ask(TAX, "/declarations/1", cert="laptop-0001", token=token, http=http).status == 200
        world.origin.clear()
    free = world.token("finance", "anna")
    assert world.ask(TAX, "/declarations/1", cert="laptop-0002", token=free).status == 200


# The providers' keys


def test_new_keys_of_a_provider_are_taken_up_without_a_401(new_world):
    world = new_world(workers=2)
    old = world.token("finance", "anna")
    assert world.ask(TOKEN, token=old).status == 200
    provider(world, "finance", "POST", "/demo/rotate")
    fresh = world.token("finance", "anna")
    assert split(fresh)[0]["kid"] != split(old)[0]["kid"]
    with concurrent.futures.ThreadPoolExecutor(8) as several:  # at once, on both workers
        assert [a.status for a in several.map(lambda _: world.ask(TOKEN, token=fresh), range(16))] == [200] * 16
    assert world.ask(TOKEN, token=old).status == 200  # still published
    assert world.ask(CLAIMS, cert="tablet-0001", token=world.token("health", "dirk")).status == 200
    # A key that is gone takes the tokens with it that it has signed, also those that are remembered.
    provider(world, "finance", "POST", "/demo/rotate?drop=1")
    newest = world.token("finance", "anna")
    until(lambda: world.ask(TOKEN, token=newest).status == 200, "the newest keys are never fetched", limit_s=15)
    for token in (old, fresh):
        answer = until(lambda: (a := world.ask(TOKEN, token=token)).status != 200 and a, "the old key still counts")
        check_refusal(world, answer, "service", 401, "token_key_unknown", problem="invalid_token")


def test_a_flood_of_unknown_kids_makes_few_fetches_and_takes_nobody_his_access(world):
    mine = Signer()
    header, payload, _ = split(world.token("finance", "anna"))
    fetches = until(lambda: (n := world.metric("belfry_jwks_fetches_total")) >= len(ENTITIES) and n, "no key sets")
    good = world.token("finance", "anna")
    world.origin.clear()
    began = time.monotonic()
    with H2(world.tls(TOKEN, alpn=("h2",))) as h2:
        streams = [h2.begin(TOKEN, "/", headers=bearer(mine.sign({**header, "kid": f"k{i}"}, payload)))
                   for i in range(90)]
        assert h2.ask(TOKEN, "/good", headers=bearer(good)).status == 200
        assert {h2.end(stream).status for stream in streams} == {401}
    for i in range(20):
        assert world.ask(TOKEN, token=mine.sign({**header, "kid": f"l{i}"}, payload)).status == 401
    took_s = time.monotonic() - began
    assert [r.target for r in world.origin.requests] == ["/good"]
    assert world.metric("belfry_jwks_fetches_total") - fetches <= 2 + 2 * took_s


class Load:
    """People who ask without a pause, a connection each, with whichever of `tokens` comes next."""

    def __init__(self, world, tokens, connections=8):
        self.world, self.tokens, self.wrong, self.asked, self.is_over = world, tokens, [], 0, False
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(connections)]

    def run(self, number):
        with H2(self.world.tls(TOKEN, alpn=("h2",))) as h2:
            while not self.is_over:
                number += 1
                answer = h2.ask(TOKEN, "/load", headers=bearer(self.tokens[number % len(self.tokens)]))
                self.asked += 1
                if answer.status != 200:
                    self.wrong.append(answer)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def more(self, count=200):
        """Goes on for so many requests."""
        until(lambda seen=self.asked: self.asked >= seen + count or self.wrong, "nobody asks any more", limit_s=30)
        assert not self.wrong, self.wrong[:5]

    def __exit__(self, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join(20)


def test_a_rotation_under_load_refuses_nobody_and_a_flood_beside_it_neither(new_world):
    world = new_world(workers=2, extra_config=UNLIMITED)
    header, payload, _ = split(world.token("finance", "anna"))
    mine = Signer()
    tokens = [world.token("finance", name) for name in ("anna", "bart")]
    with Load(world, tokens) as load:
        load.more()
        fetches = world.metric("belfry_jwks_fetches_total")
        provider(world, "finance", "POST", "/demo/rotate")
        tokens += [world.token("finance", name, alg=alg) for name in ("anna", "bart") for alg in ("ES256", "RS256")]
        assert {split(token)[0]["kid"] for token in tokens[2:]}.isdisjoint({header["kid"]})
        load.more()
        # Of eight connections, for two keys, on two workers: one, and one more for who came while that was under way.
        assert world.metric("belfry_jwks_fetches_total") - fetches in (1, 2)
        began = time.monotonic()
        fetches, wishes = (world.metric(f"belfry_jwks_{what}_total") for what in ("fetches", "wishes"))
        with Load(world, [mine.sign({**header, "kid": f"k{i}"}, payload) for i in range(300)], 4) as flood:
            load.more(400)
            until(lambda: flood.asked >= 1000, "the flood is none", limit_s=30)
            # Keys that are new in its midst: on a device of their own nobody is refused for them; at the flood's own
            # address it takes as long as the provider is not asked.
            provider(world, "finance", "POST", "/demo/rotate")
            fresh = [world.token("finance", "anna", alg=alg) for alg in ("ES256", "RS256")]
            assert [world.ask(TAX, "/declarations/1", cert="laptop-0001", token=token).status for token in fresh] == [
                200, 200]
            provider(world, "finance", "POST", "/demo/rotate")
            late = world.token("finance", "anna")
            rotated = time.monotonic()
            until(lambda: world.ask(TOKEN, token=late).status == 200, "the flood keeps a key away", limit_s=10)
            assert time.monotonic() - rotated < 0.5 + 1.5  # the pause, and a busy machine
        assert {answer.problem for answer in flood.wrong} == {"invalid_token"} and len(flood.wrong) == flood.asked
        took_s = time.monotonic() - began
        assert world.metric("belfry_jwks_fetches_total") - fetches <= 2 + 2 * took_s
        # Nor has the control thread more to do than ten wishes a second of each worker; those who are not known as
        # forgers yet (five, and one a second) and the new keys' own tokens are waited for.
        bound = 2 * (5 + 11 * took_s) + 20
        assert world.metric("belfry_jwks_wishes_total") - wishes <= bound < flood.asked, (bound, flood.asked)
    assert not load.wrong


def test_without_keys_it_is_503_for_that_provider_alone_until_it_comes(new_world):
    world = new_world(begin=False, workers=1)
    world.begin(gateway=False)
    anna, dirk = world.token("finance", "anna"), world.token("health", "dirk")
    port = int(world.providers["finance"]["issuer"].rsplit(":", 1)[1])
    world.stop("idp-finance")
    world.start_gateway()
    world.wait_gateway()
    assert world.ask(CLAIMS, cert="tablet-0001", token=dirk).status == 200
    for caller, headers in CALLERS.items():
        for http in ("1.1", "2"):
            answer = world.ask(TOKEN, token=anna, http=http, headers=headers)
            check_refusal(world, answer, caller, 503, "keys_unavailable")
    forged = Signer().sign(*split(anna)[:2])
    assert world.ask(TOKEN, token=forged).status == 503  # not known to be bad: the keys are not there
    assert world.ask(TOKEN, token="abc").status == 401  # but this is
    status, text = world.admin("/readyz")
    assert status == 200 and "degraded keys: 1 " in text
    assert world.metric("belfry_jwks_failures_total") >= 1
    world.start_provider("finance", port)
    world.wait_provider("finance")
    fresh = world.token("finance", "anna")  # its keys are new: it had forgotten everything
    until(lambda: world.ask(TOKEN, token=fresh).status == 200, "it never gets its keys", limit_s=20)
    until(lambda: "degraded keys" not in world.admin("/readyz")[1], "readiness does not come back")
    assert world.ask(CLAIMS, cert="tablet-0001", token=dirk).status == 200


def test_with_the_provider_gone_its_last_good_keys_go_on(new_world):
    world = new_world(workers=1)
    tokens = [world.token("finance", name) for name in ("anna", "bart")]
    assert world.ask(TOKEN, token=tokens[0]).status == 200
    world.stop("idp-finance")
    for token in tokens:  # one that is known, and one that has to be verified now
        assert world.ask(TOKEN, token=token).status == 200
    header, payload, _ = split(tokens[0])
    answer = world.ask(TOKEN, token=Signer().sign({**header, "kid": "unknown"}, payload))
    check_refusal(world, answer, "service", 503, "keys_unavailable")  # only the provider could say that it is not its
    assert world.ask(TOKEN, token=tokens[1]).status == 200
