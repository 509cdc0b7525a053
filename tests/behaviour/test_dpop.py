# SPDX-License-Identifier: EUPL-1.2
"""Tokens that are bound to a key (RFC 9449): a stolen one is worth nothing without the key, a stolen proof nothing a
second time, for another request, or later."""

import concurrent.futures
import os
import signal
import time

import pytest
import redis

from callers import check_refusal
from conftest import check_end
from forger import Prover, Signer, b64, with_own_provider
from world import World, until

BOUND = "bound.finance.localhost"
EITHER = "either.finance.localhost"
OWN = "https://own.finance.example"


@pytest.fixture(scope="module")
def signer():
    return Signer("own-1")


@pytest.fixture(scope="module")
def prover():
    return Prover()


@pytest.fixture(scope="module")
def gate(signer):
    with World(workers=2, hosts=[BOUND, EITHER]) as made:
        made.begin()

        def applications(text):
            text = with_own_provider(text, signer, OWN, "leeway: 0s")
            for host, more in ((BOUND, "dpop: required"), (EITHER, "forward_token: true")):
                text += f"""
  - id: {host.split(".")[0]}
    host: {host}
    device: none
    {more}
    identity_providers: [own]
    upstreams: [http://127.0.0.1:{made.origin.port}]
    rules:
      - id: any-user
        permit: {{}}
        when: 'user.subject != ""'
"""
            return text

        made.update("finance", applications)
        yield made
        check_end(made)


@pytest.fixture
def token(signer, prover):
    return signer.token(OWN, "own-api", payload={"cnf": {"jkt": prover.thumbprint}})


def ask(gate, token, proof, host=BOUND, path="/", method="GET", scheme="DPoP", more=(), http="1.1"):
    fields = [f"authorization: {scheme} {token}"] + ([f"dpop: {proof}"] if proof else []) + list(more)
    return gate.ask(host, path, method=method, headers=fields, http=http)


def url(gate, host=BOUND, path="/"):
    return f"https://{host}:{gate.port}{path}"


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_with_its_proof_a_bound_token_is_good(gate, prover, token, http):
    for host in (BOUND, EITHER):
        for method in ("GET", "POST"):
            gate.origin.clear()
            proof = prover.proof(method, url(gate, host, "/a/b"), token)
            answer = ask(gate, token, proof, host, "/a/b?c=d", method, http=http)
            assert answer.status == 200, gate.decision(answer.get("belfry-reference"))
            (seen,) = gate.origin.requests
            assert (seen.get("dpop") == proof) == (host == EITHER)  # forward_token
            assert (seen.get("authorization") is not None) == (host == EITHER)


def test_addresses_are_compared_as_addresses(gate, prover, token):
    """RFC 9449 §4.3, 9: scheme and host without regard to case, and unreserved characters have one spelling."""
    for htu in (f"HTTPS://{BOUND.upper()}:{gate.port}/a/~b", f"https://{BOUND}.:{gate.port}/%61/%7eb",
                f"https://{BOUND}:{gate.port}/a/~b?x=y#z"):
        assert ask(gate, token, prover.proof("GET", htu, token), path="/a/~b").status == 200, htu


def test_a_proof_is_remembered_for_longer_than_it_is_good_since_clocks_differ(gate, prover, token):
    with redis.Redis(unix_socket_path=str(gate.redis_socket)) as store:
        before = set(store.keys("belfry:mark:*"))
        assert ask(gate, token, prover.proof("GET", url(gate), token)).status == 200
        (mark,) = set(store.keys("belfry:mark:*")) - before
        assert store.pttl(mark) > 80_000, "a minute, and what gateways' clocks may differ"


def test_the_challenge_says_how(gate, signer, prover, token):
    bare = gate.ask(BOUND)
    assert bare.status == 401 and bare.get("www-authenticate").startswith('DPoP realm="bound", algs="ES256 ')
    assert gate.ask(EITHER).get("www-authenticate") == 'Bearer realm="either"'
    free = signer.token(OWN, "own-api")
    answer = gate.ask(BOUND, token=free)  # the application wants a proof
    check_refusal(gate, answer, "service", 401, "token_binding", problem="invalid_token")
    assert 'DPoP realm="bound", error="invalid_token"' in answer.get("www-authenticate")
    assert gate.ask(EITHER, token=free).status == 200
    answer = ask(gate, token, None)
    check_refusal(gate, answer, "service", 401, "dpop_proof", problem="invalid_dpop_proof")
    assert answer.get("www-authenticate").startswith('DPoP realm="bound", error="invalid_dpop_proof", algs="')


def test_a_bound_token_is_no_bearer_token_and_a_free_one_no_bound(gate, signer, prover, token):
    """RFC 9449 §7.1 and §7.2"""
    gate.origin.clear()
    proof = prover.proof("GET", url(gate, EITHER), token)
    for scheme, given in (("Bearer", None), ("Bearer", proof)):
        answer = ask(gate, token, given, EITHER, scheme=scheme)
        check_refusal(gate, answer, "service", 401, "token_binding", problem="invalid_token")
    free = signer.token(OWN, "own-api")
    answer = ask(gate, free, prover.proof("GET", url(gate, EITHER), free), EITHER)
    check_refusal(gate, answer, "service", 401, "token_binding", problem="invalid_token")
    assert not gate.origin.requests


def wrong_proofs(gate, prover, token):
    here, now = url(gate), int(time.time())
    other = Prover()

    def proof(**more):
        return prover.proof("GET", here, token, **more)

    good = proof()
    head, body, signature = good.split(".")
    private = {**prover.public, "d": b64(b"\1" * 32)}
    return {
        "nothing": ("", "dpop_proof"), "a word": ("abc", "dpop_proof"), "the token": (token, "dpop_proof"),
        "two": (f"{good}, {proof()}", "dpop_proof"),
        "another key's": (other.proof("GET", here, token), "token_binding"),
        "another's signature": (other.sign({"typ": "dpop+jwt", "alg": "ES256", "jwk": prover.public},
                                           {"jti": "1", "htm": "GET", "htu": here, "iat": now}), "dpop_proof"),
        "no signature": (f"{head}.{body}.", "dpop_proof"),
        "typ JWT": (proof(header={"typ": "JWT"}), "dpop_proof"),
        "typ at+jwt": (proof(header={"typ": "at+jwt"}), "dpop_proof"),
        "no typ": (proof(without=["typ"]), "dpop_proof"),
        "alg none": (proof(header={"alg": "none"}), "dpop_proof"),
        "alg HS256": (proof(header={"alg": "HS256"}), "dpop_proof"),
        "alg of another key": (proof(header={"alg": "ES384"}), "dpop_proof"),
        "no key": (proof(without=["jwk"]), "dpop_proof"),
        "a private key": (proof(header={"jwk": private}), "dpop_proof"),
        "a symmetric key": (proof(header={"jwk": {"kty": "oct", "k": "AAAA"}}), "dpop_proof"),
        "crit": (proof(header={"crit": ["b64"], "b64": False}), "dpop_proof"),
        "another method": (proof(payload={"htm": "POST"}), "dpop_proof"),
        "a method in lower case": (proof(payload={"htm": "get"}), "dpop_proof"),
        "no method": (proof(without=["htm"]), "dpop_proof"),
        "no address": (proof(without=["htu"]), "dpop_proof"),
        "another path": (proof(payload={"htu": here + "x"}), "dpop_proof"),
        "another host": (proof(payload={"htu": url(gate, EITHER)}), "dpop_proof"),
        "a longer host": (proof(payload={"htu": url(gate, BOUND + ".evil.example")}), "dpop_proof"),
        "another port": (proof(payload={"htu": f"https://{BOUND}/"}), "dpop_proof"),
        "another scheme": (proof(payload={"htu": here.replace("https", "http")}), "dpop_proof"),
        "a user": (proof(payload={"htu": here.replace("//", "//a@")}), "dpop_proof"),
        "no iat": (proof(without=["iat"]), "dpop_proof"),
        "an iat in words": (proof(payload={"iat": str(now)}), "dpop_proof"),
        "of yesterday": (proof(payload={"iat": now - 86400}), "dpop_proof"),
        "too old": (proof(payload={"iat": now - 105}), "dpop_proof"),
        "of the future": (proof(payload={"iat": now + 75}), "dpop_proof"),
        "over": (proof(payload={"exp": now - 60}), "dpop_proof"),
        "no jti": (proof(without=["jti"]), "dpop_proof"),
        "an empty jti": (proof(payload={"jti": ""}), "dpop_proof"),
        "a long jti": (proof(payload={"jti": "a" * 257}), "dpop_proof"),
        "no ath": (proof(without=["ath"]), "dpop_proof"),
        "another token's": (proof(payload={"ath": b64(b"\0" * 32)}), "dpop_proof"),
        "an event": (proof(payload={"events": {}}), "dpop_proof"),
    }


def test_a_proof_that_is_not_exactly_for_this_is_none(gate, prover, token):
    gate.origin.clear()
    for name, (proof, reason) in wrong_proofs(gate, prover, token).items():
        answer = ask(gate, token, proof)
        problem = "invalid_token" if reason == "token_binding" else "invalid_dpop_proof"
        assert (answer.status, answer.problem) == (401, problem), name
        check_refusal(gate, answer, "service", 401, reason, problem=problem)
    proof = prover.proof("GET", url(gate), token)
    answer = ask(gate, token, proof, more=[f"dpop: {prover.proof('GET', url(gate), token)}"])
    check_refusal(gate, answer, "service", 401, "dpop_proof", problem="invalid_dpop_proof")
    assert not gate.origin.requests
    assert ask(gate, token, proof).status == 200  # was not used up by a request that was refused before it


def test_a_proof_is_good_once_whichever_worker_it_comes_to(gate, prover, token):
    for _ in range(8):
        proof = prover.proof("GET", url(gate), token)
        with concurrent.futures.ThreadPoolExecutor(6) as several:  # at once, on both workers
            answers = list(several.map(lambda _: ask(gate, token, proof), range(6)))
        assert sorted(a.status for a in answers) == [200] + [401] * 5
        for answer in answers:
            if answer.status == 401:
                check_refusal(gate, answer, "service", 401, "dpop_replayed", problem="invalid_dpop_proof")


def test_many_proofs_over_one_token_are_many_requests(gate, prover, token):
    hits = gate.metric("belfry_token_cache_hits_total")
    for _ in range(10):
        assert ask(gate, token, prover.proof("GET", url(gate), token)).status == 200
    assert gate.metric("belfry_token_cache_hits_total") >= hits + 8


def test_without_the_store_only_what_needs_a_proof_is_refused(gate, signer, prover, token):
    redis = gate.processes["redis"]
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = ask(gate, token, prover.proof("GET", url(gate), token))
        assert time.monotonic() - began < 1.5
        check_refusal(gate, answer, "service", 503, "dpop_unavailable")
        assert gate.ask(EITHER, token=signer.token(OWN, "own-api")).status == 200
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    until(lambda: ask(gate, token, prover.proof("GET", url(gate), token)).status == 200, "the store does not come back")
