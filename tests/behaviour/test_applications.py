# SPDX-License-Identifier: EUPL-1.2
"""docs/applications.md, as an application's people would use it: its examples are taken from the page and asked about
assertions that a running gateway has made, and about what only looks like one. Keys change under their hands."""

import http.server
import json
import re
import shutil
import subprocess
import threading
import time
import types

import jwt
import pytest

import forger
from callers import H2
from forger import Signer, part, split
from test_failures import hang_up
from world import ROOT, until

PAGE = ROOT / "docs/applications.md"
TOKEN = "token.finance.localhost"
TAX = "tax.finance.localhost"
OPEN = "open.finance.localhost"
ISSUER, AUDIENCE = f"https://{TOKEN}", "token-only"


def example(language):
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S)
    return block


class Relay:
    """The gateway's key set at an address that needs neither our PKI nor a name; counts who asks."""

    def __init__(self, world):
        relay = self
        relay.fetches = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                relay.fetches += 1
                answer = world.ask(OPEN, "/.well-known/belfry/jwks.json")
                self.send_response(answer.status)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def relay(world):
    made = Relay(world)
    yield made
    made.end()


def assertion(world, host=TOKEN, cert=None, **of_token):
    world.origin.clear()
    assert world.ask(host, cert=cert, token=world.token("finance", "anna", **of_token)).status == 200
    (request,) = world.origin.requests
    return request.get("belfry-assertion")


@pytest.fixture(scope="module")
def presented(world):
    """Name, assertion, and the subject where it is good; the last one is over."""
    over = assertion(world, ttl=2)
    good = assertion(world)
    header, claims, signature = split(good)
    mine = Signer(header["kid"])
    now = int(time.time())
    head, body, tail = good.split(".")
    public = json.loads(world.ask(OPEN, "/.belfry/jwks.json").body)["keys"][0]
    rows = [
        ("good", good, claims["sub"]),
        ("another application's", assertion(world, TAX, "laptop-0001"), None),
        ("forged claims", f"{head}.{part({**claims, 'sub': 'root'})}.{tail}", None),
        ("forged head", f"{part({**header, 'typ': 'at+jwt'})}.{body}.{tail}", None),
        ("another's key under the name", mine.sign(header, claims), None),
        ("another's key under its own", mine.sign({**header, "kid": "mine"}, claims), None),
        ("a key that it brings", mine.sign({**header, "kid": "mine", "jwk": mine.jwk}, claims), None),
        ("no kid", mine.sign({"alg": "ES256"}, claims), None),
        ("none", f"{part({**header, 'alg': 'none'})}.{body}.", None),
        ("none, signed", f"{part({**header, 'alg': 'none'})}.{body}.{tail}", None),
        ("no signature", f"{head}.{body}.", None),
        ("a signature of zeros", f"{head}.{body}.{forger.b64(bytes(64))}", None),
        ("a byte too many", f"{head}.{body}.{forger.b64(signature + bytes(1))}", None),
        ("two parts", f"{head}.{body}", None),
        ("one more part", f"{good}.{tail}", None),
        ("no JWT", "anna", None),
    ]
    rows += [(f"a MAC under the public key, {form}",
              forger.hmac_signed({**header, "alg": "HS256"}, claims, secret, "sha256"), None)
             for form, secret in forger.forms_of(public).items()]
    assert now < split(good)[1]["exp"]
    until(lambda: time.time() > split(over)[1]["exp"] + 6, "it does not end", limit_s=15)
    return [*rows, ("over", over, None)]


def check(presented, said):
    """`said`: a line for each, the subject or "refused ..."."""
    assert len(said) == len(presented), said
    wrong = [(name, line) for (name, _, sub), line in zip(presented, said)
             if (line != sub if sub else not line.startswith("refused"))]
    assert not wrong, wrong


def lines_of(presented):
    return "".join(f"{text}\n" for _, text, _ in presented)


def run(argv, presented, cwd):
    done = subprocess.run([*map(str, argv)], input=lines_of(presented), capture_output=True, text=True, timeout=60, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def python_example(relay):
    module = types.ModuleType("assertions")
    exec(compile(example("python"), str(PAGE), "exec"), module.__dict__)
    return module.Assertions(relay.url, ISSUER, AUDIENCE)


def test_python(relay, presented):
    assertions = python_example(relay)
    said = []
    for _, text, _ in presented:
        try:
            said.append(assertions.verify(text)["sub"])
        except jwt.PyJWTError as e:
            said.append(f"refused {e}")
    check(presented, said)


NODE_DRIVER = """
(async () => {
    const assertions = new Assertions(process.argv[2], process.argv[3], process.argv[4]);
    for (const line of require('node:fs').readFileSync(0, 'utf8').trimEnd().split('\\n'))
        console.log(await assertions.verify(line).then((claims) => claims.sub, (e) => `refused ${e.message}`));
})();
"""


def test_node(relay, presented, tmp_path):
    script = tmp_path / "assertions.js"
    script.write_text(example("js") + NODE_DRIVER)
    before = relay.fetches
    check(presented, run(["node", script, relay.url, ISSUER, AUDIENCE], presented, tmp_path))
    assert relay.fetches == before + 1  # unknown names of keys do not make it ask again and again


# A parser as small as can be; the page leaves that to the application.
JAVA_DRIVER = """
import java.net.URI;
import java.util.*;

class Main {
    private final String text;
    private int at;

    Main(String text) { this.text = text; }

    private Object value() {
        char c = text.charAt(at);
        if (c == '{' || c == '[') {
            Map<String, Object> map = new HashMap<>();
            List<Object> list = new ArrayList<>();
            for (at++; text.charAt(at) != '}' && text.charAt(at) != ']'; at += text.charAt(at) == ',' ? 1 : 0) {
                Object item = value();
                if (c == '[') { list.add(item); continue; }
                at++;
                map.put((String) item, value());
            }
            at++;
            return c == '{' ? map : list;
        }
        int end = at + 1;
        if (c == '"') {
            while (text.charAt(end) != '"') end += text.charAt(end) == '\\\\' ? 2 : 1;
            String found = text.substring(at + 1, end).translateEscapes();
            at = end + 1;
            return found;
        }
        while (",]}".indexOf(text.charAt(end)) < 0) end++;
        String word = text.substring(at, end);
        at = end;
        return word.matches("-?[0-9]+") ? (Object) Long.valueOf(word) : word;
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> parse(String text) { return (Map<String, Object>) new Main(text).value(); }

    public static void main(String[] args) throws Exception {
        Assertions assertions = new Assertions(URI.create(args[0]), args[1], args[2], Main::parse);
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            try {
                System.out.println(assertions.verify(lines.nextLine()).get("sub"));
            } catch (Exception e) {
                System.out.println("refused " + e.getMessage());
            }
        }
    }
}
"""


@pytest.mark.skipif(not shutil.which("javac"), reason="there is no JDK here (package openjdk-17-jdk-headless)")
def test_java(relay, presented, tmp_path):
    (tmp_path / "Assertions.java").write_text(example("java"))
    (tmp_path / "Main.java").write_text(JAVA_DRIVER)
    subprocess.run(["javac", "-Xlint:all", "-Werror", "Assertions.java", "Main.java"], check=True, cwd=tmp_path)
    check(presented, run(["java", "-cp", tmp_path, "Main", relay.url, ISSUER, AUDIENCE], presented, tmp_path))


C_DRIVER = """
#include <stdio.h>
int main(int argc, char **argv)
{
    char line[16384];
    json_t *jwks = argc == 4 ? json_load_file(argv[1], 0, NULL) : NULL;
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\\n")] = '\\0';
        json_t *claims = assertion_verify(line, jwks, argv[2], argv[3]);
        puts(claims ? json_string_value(json_object_get(claims, "sub")) : "refused");
        json_decref(claims);
    }
    json_decref(jwks);
    return 0;
}
"""


def test_c(world, presented, tmp_path):
    (tmp_path / "assertion.c").write_text(example("c") + C_DRIVER)
    (tmp_path / "jwks.json").write_bytes(world.ask(OPEN, "/.well-known/belfry/jwks.json").body)
    subprocess.run(["gcc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address,undefined",
                    "-fno-sanitize-recover", "-o", "assertion", "assertion.c", "-lcrypto", "-ljansson"],
                   check=True, cwd=tmp_path)
    check(presented, run([tmp_path / "assertion", "jwks.json", ISSUER, AUDIENCE], presented, tmp_path))


# Keys change


class Upstream:
    """Verifies each assertion that comes, as the page's Python does; people ask through two workers without a pause."""

    def __init__(self, world):
        self.world, self.relay = world, Relay(world)
        self.assertions = python_example(self.relay)
        self.verified, self.wrong, self.is_over = {}, [], False  # by kid: the first and the last moment
        self.tokens = [world.token("finance", name) for name in ("anna", "bart")]
        self.threads = [threading.Thread(target=self.ask, args=(token,)) for token in self.tokens * 2]
        self.answer = world.origin._answer
        world.origin._answer = self.judge

    def judge(self, peer, request, path):
        text = request.get("belfry-assertion")
        try:
            self.assertions.verify(text)
            kid, now = jwt.get_unverified_header(text)["kid"], time.time()
            self.verified[kid] = (self.verified.get(kid, (now,))[0], now)
        except jwt.PyJWTError as e:
            self.wrong.append(repr(e))
        return self.answer(peer, request, path)

    def ask(self, token):
        while not self.is_over:
            with H2(self.world.tls(TOKEN, alpn=("h2",))) as h2:
                for _ in range(20):
                    answer = h2.ask(TOKEN, "/verify", headers=[("authorization", f"Bearer {token}")])
                    if answer.status != 200:
                        self.wrong.append(str(answer))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        until(lambda: self.verified, "nothing is verified")
        return self

    def __exit__(self, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join(20)
        self.relay.end()


def keys_of(world):
    return [key["kid"] for key in json.loads(world.ask(OPEN, "/.well-known/belfry/jwks.json").body)["keys"]]


def rotate(world, seconds):
    """A new key whose time comes then; (its moment, its name) once both workers publish it."""
    ring, aside = world.folder / "keys/gateway/assertion/fod-finance", world.folder / "aside/assertion/fod-finance"
    before, moment = set(keys_of(world)), int(time.time()) + seconds
    aside.mkdir(parents=True, exist_ok=True)
    world.command("key", "ring", "new", aside)
    (made,) = aside.iterdir()
    made.rename(ring / time.strftime("%Y%m%d%H%M%S.pem", time.gmtime(moment)))
    hang_up(world)
    (kid,) = until(lambda: set(keys_of(world)) - before, "the key that is to come is not published")
    return moment, kid


def test_a_key_signs_from_its_moment_on_and_an_upstream_never_meets_one_that_it_cannot_learn(new_world):
    world = new_world(workers=2)
    with Upstream(world) as upstream:
        (old,) = upstream.verified
        upstream.assertions.asked_at -= 11  # what it knows is not of this very moment
        fetched = upstream.relay.fetches
        moment, new = rotate(world, 3)
        assert time.time() < moment and upstream.verified.keys() == {old}
        until(lambda: new in upstream.verified, "the new key never signs")
        assert upstream.verified[new][0] >= moment
        until(lambda: upstream.verified[new][1] > moment + 1, "the new key no longer signs")
        assert upstream.verified[old][1] < moment + 1  # what another worker had just signed may be under way
        assert upstream.relay.fetches == fetched + 1
        # The old one is taken away, and so is what an attacker could have had of it.
        files = sorted((world.folder / "keys/gateway/assertion/fod-finance").iterdir())
        files[0].unlink()
        hang_up(world)
        until(lambda: keys_of(world) == [new], "the old key is still published")
        until(lambda: upstream.verified[new][1] > time.time() - 0.1, "nobody asks")
    assert not upstream.wrong, upstream.wrong[:5]


def test_keys_change_again_and_again_while_people_work(new_world):
    world = new_world(workers=2)
    with Upstream(world) as upstream:
        for _ in range(3):
            upstream.assertions.asked_at -= 11
            _, new = rotate(world, 2)
            until(lambda: new in upstream.verified, "the new key never signs")
        assert len(keys_of(world)) == 4 == len(upstream.verified)
    assert not upstream.wrong, upstream.wrong[:5]
