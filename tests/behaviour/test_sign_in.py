# SPDX-License-Identifier: EUPL-1.2
"""People sign in in a browser at a real provider, stay signed in on that device alone, and sign out; and what those
try who are not that person. HTTP by HTTP; tests/behaviour/test_browser.py does the same with Chromium."""

import concurrent.futures
import html
import json
import re
import ssl
import time
import urllib.parse

import pytest
import redis

from callers import BROWSER
from devices import Authority
from forger import Signer
from sign_in import Browser
from test_live import Stream
from world import ROOT, World, until

TAX, NOTES, EITHER, ANYWHERE = (f"{name}.finance.localhost" for name in ("tax", "strict", "maybe", "open"))
LOGIN = "login.finance.localhost"
COOKIE = "__Host-belfry"


@pytest.fixture(scope="module")
def world():
    with World(policies=ROOT / "tests/behaviour/policy/sign_in") as world:
        world.begin()
        world.tell_provider("health", "login", origin=f"https://{LOGIN}:{world.port}")
        yield world


@pytest.fixture
def anna(world):
    return Person(world, "anna")


class Person(Browser):
    """Somebody with a laptop and a browser of their own, who can sign in."""

    def __init__(self, world, name, cert="laptop-0001", language="en"):
        super().__init__(world, cert, language)
        self.name = name

    def at(self, host, path="/"):
        return f"https://{host}:{self.world.port}{path}"

    def open(self, host=TAX, path="/", means=""):
        """Opens it, and signs in where that is asked for."""
        return self.sign_in(self.at(host, path), self.name, means)

    def cookie(self, host=TAX, name=COOKIE):
        return self.cookies.get((host, "/", name))

    def tries(self, host=TAX):
        return [name for of, _, name in self.cookies if of == host and name.startswith(COOKIE + "-try-")]

    def sign_out(self, host=TAX):
        return self.press(self.go(self.at(host, "/.belfry/sign-out")), "sign-out")

    def asked_for_a_password(self):
        return any(url.endswith("/login") for url in self.visited)

    def whoami(self, host=TAX):
        page = self.ask(self.at(host, "/.belfry/whoami"), headers=("accept: application/json",))
        return json.loads(page.body)


def refused(world, page, status, reason):
    """A page of ours that says no, and the audit says why."""
    assert page.status == status, (page, page.url)
    event = world.decision(page.get("belfry-reference"))
    assert event["belfry.reason_code"] == reason, event
    assert page.get("belfry-reference").encode() in page.body
    return event


# In

def test_the_first_visit_ends_where_it_began(world, anna):
    page = anna.open(path="/declarations/12?year=2026&q=a%20b")
    assert page.status == 200 and page.url == anna.at(TAX, "/declarations/12?year=2026&q=a%20b")
    seen = world.origin.requests[-1]
    assert seen.target == "/declarations/12?year=2026&q=a%20b"
    assert COOKIE not in (seen.get("cookie") or "")
    assert anna.tries() == [] and not any("-at-" in name for _, _, name in anna.cookies)


def test_the_session_cookie_is_for_this_host_and_for_no_script(world, anna):
    lines = []
    keep, anna.keep = anna.keep, lambda url, line: (lines.append((url.hostname, line)), keep(url, line))
    anna.open()
    of_session = [line for host, line in lines if line.startswith(COOKIE + "=")]
    assert len(of_session) == 1
    assert re.fullmatch(COOKIE + r"=[\w-]{43}; Path=/; Secure; HttpOnly; SameSite=Lax", of_session[0])
    for host, line in lines:
        if line.startswith("__Host-"):
            assert "Secure" in line and "HttpOnly" in line and "SameSite=Lax" in line
    assert not [1 for host, line in lines if host == LOGIN and line.startswith(COOKIE + "=")], "no session there"


def test_no_token_and_no_code_reaches_the_application_or_the_browsers_history_of_it(world, anna):
    anna.open(path="/declarations/1")
    at_application = [url for url in anna.visited if TAX in url and "/.belfry/" not in url]
    assert at_application and not any("code=" in url or "handover" in url for url in at_application)
    handover = next(url for url in anna.visited if "handover=" in url)
    again = Person(world, "anna").go(handover)
    refused(world, again, 403, "sign_in_expired")


def test_a_second_application_asks_nobody_a_second_time(world, anna):
    anna.open(TAX)
    anna.visited.clear()
    page = anna.open(NOTES, "/today")
    assert page.status == 200 and page.url == anna.at(NOTES, "/today")
    assert not anna.asked_for_a_password()
    assert anna.cookie(NOTES) and anna.cookie(NOTES) != anna.cookie(TAX)


def test_whoami_says_what_the_application_is_told(world, anna):
    anna.open()
    told = anna.whoami()
    assert told["user"] == {"id": "fas:anna", "provider": "fas", "groups": ["tax-officers", "staff"], "acr_level": 500,
                            "amr": ["urn:be:fedict:iam:fas:Level500", "eid"]}
    assert told["device"] == {"id": "finance-laptops:laptop-0001", "trust": "managed"}
    page = anna.go(anna.at(TAX, "/.belfry/whoami"))
    assert b"fas:anna" in page.body and b"tax-officers, staff" in page.body and b"Anna Peeters" in page.body


def test_only_a_page_that_is_opened_is_led_to_a_sign_in(world, anna):
    for headers in (("sec-fetch-mode: cors", "sec-fetch-dest: empty"), ("sec-fetch-dest: iframe",),
                    ("accept: application/json",), ("sec-fetch-mode: no-cors", "sec-fetch-dest: image")):
        page = anna.ask(anna.at(TAX, "/declarations/12"), headers=headers)
        assert page.status == 401 and page.get("location") is None, headers
        assert page.get("www-authenticate").startswith("Bearer")


@pytest.mark.parametrize("path", ["/?" + "=" * 4000, "/?" + "&" * 4000, "/?" + "=" * 4100], ids=["=", "&", "too long"])
def test_a_page_that_leads_to_a_sign_in_has_room_for_the_longest_address(world, path):
    """Who is not led there by themselves gets a link, in which each byte of where they were may take three."""
    answer = world.ask(TAX, path, cert="laptop-0001", headers=[*BROWSER, "sec-fetch-mode: cors"])
    assert answer.status == 401 and '<a class="button" href="/.belfry/sign-in?to=%2F' in answer.body.decode()


def test_a_refused_person_reads_why_in_their_language(world):
    bart = Person(world, "bart")
    page = bart.open(path="/declarations/12")
    refused(world, page, 403, "denied")
    assert page.get("content-language") == "fr", "what he told the provider counts before the browser"
    assert "Guichet fiscal" in page.body.decode() and b"officers-read" in page.body


def test_a_language_that_is_chosen_stays(world):
    bart = Person(world, "bart")
    page = bart.open(path="/declarations/12")
    target = page.form("language").fields["to"]
    page = bart.go(bart.at(TAX, "/.belfry/language"), "POST", {"language": "de", "to": target}, form_headers(bart))
    assert page.url == bart.at(TAX, "/declarations/12") and page.get("content-language") == "de"
    assert bart.ask(bart.at(TAX, "/declarations/12")).get("content-language") == "de"


def test_several_providers_are_a_choice(world):
    dirk = Person(world, "dirk")
    page = dirk.go(dirk.at(EITHER, "/x?y=1"))
    assert page.status == 200 and b"Health Agency" in page.body and b"Federal sign-in" in page.body
    links = re.findall(rb'href="(/\.belfry/sign-in\?[^"]*provider=guests)"', page.body)
    assert len(links) == 1
    page = dirk.prove(dirk.go(dirk.at(EITHER, links[0].decode().replace("&amp;", "&"))), "dirk")
    assert page.status == 200 and page.url == dirk.at(EITHER, "/x?y=1")
    assert dirk.whoami(EITHER)["user"]["id"] == "guests:dirk"


def test_twenty_tabs_at_nine_in_the_morning_all_end_where_they_began(world, anna):
    anna.open(NOTES)  # the provider knows her; the tax desk does not yet
    tabs = [Person(world, "anna") for _ in range(20)]
    for tab in tabs:
        tab.cookies = anna.cookies  # one browser

    def visit(i):
        return tabs[i].open(path=f"/declarations/{i}")

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        pages = list(pool.map(visit, range(20)))
    assert [page.status for page in pages] == [200] * 20
    assert [page.url for page in pages] == [anna.at(TAX, f"/declarations/{i}") for i in range(20)]
    assert anna.tries() == []
    assert anna.ask(anna.at(TAX, "/declarations/1")).status == 200


def test_of_more_than_thirty_two_attempts_the_oldest_are_forgotten(world, anna):
    for i in range(40):
        page = anna.ask(anna.at(TAX, "/.belfry/sign-in?to=/"))
        assert page.status == 303
    assert len(anna.tries()) == 32


# Step-up

def test_a_rule_that_wants_more_sends_the_browser_for_more(world):
    carine = Person(world, "carine")
    assert carine.open(path="/declarations/1").status == 200
    before = carine.cookie()
    page = carine.prove(carine.go(carine.at(TAX, "/payments/7")), "carine", "eid")
    assert page.status == 200 and page.url == carine.at(TAX, "/payments/7")
    assert carine.cookie() != before, "a new id at each sign-in"
    assert carine.whoami()["user"]["acr_level"] == 500
    stolen = Person(world, "carine")
    stolen.cookies = {(TAX, "/", COOKIE): before}
    assert stolen.ask(stolen.at(TAX, "/declarations/1")).status == 303, "the old id is worth nothing"


def test_a_step_up_that_brings_too_little_is_refused_and_never_loops(world):
    carine = Person(world, "carine")
    carine.open(path="/declarations/1")
    page = carine.prove(carine.go(carine.at(TAX, "/payments/7")), "carine", "password")
    assert page.status == 403, (page, page.url)
    assert page.url.startswith(carine.at(LOGIN, "/.belfry/callback"))
    assert carine.at(TAX, "/.belfry/sign-in?to=%2Fpayments%2F7&amp;level=400").encode() in page.body
    assert carine.ask(carine.at(TAX, "/declarations/1")).status == 200, "and stays signed in as before"


# What was being typed

def form_headers(person, host=TAX):
    return (f"origin: {person.at(host, '')}", "sec-fetch-site: same-origin", "sec-fetch-mode: navigate",
            "sec-fetch-dest: document")


def test_a_form_that_meets_no_session_is_kept_and_sent_again_when_the_person_says_so(world, anna):
    text = "line one\r\nline two & <b> \"é\" 100%"
    count = len(world.origin.requests)
    page = anna.ask(anna.at(TAX, "/payments/7?x=1"), "POST", {"amount": "12", "text": text, "empty": ""},
                    form_headers(anna))
    assert page.status == 401 and b"Your session has ended" in page.body
    assert world.decision(page.get("belfry-reference"))["belfry.reason_code"] == "identity_required"
    page = anna.onward(anna.press(page, "sign-in"))
    page = anna.prove(page, "anna")
    assert page.status == 200 and "You are signed in again" in page.body.decode() or "weer aangemeld" in page.body.decode()
    assert len(world.origin.requests) == count, "nothing is sent by itself"
    page = anna.press(page, "send")
    assert page.status == 200
    seen = world.origin.requests[-1]
    assert seen.method == "POST" and seen.target == "/payments/7?x=1"
    assert urllib.parse.parse_qsl(seen.body.decode(), keep_blank_values=True) == [
        ("amount", "12"), ("text", text), ("empty", "")]


@pytest.mark.parametrize("headers, form", [
    (("origin: https://evil.localhost", "sec-fetch-site: cross-site"), {"a": "b"}),
    (("origin: null",), {"a": "b"}),
    ((), {"a": "b"}),
    (("same",), {"a": "b" * 17000}),
])
def test_a_form_of_another_site_or_a_large_one_is_not_kept_and_the_page_says_so(world, anna, headers, form):
    headers = form_headers(anna) if headers == ("same",) else headers
    page = anna.ask(anna.at(TAX, "/payments/7"), "POST", form, headers)
    assert page.status == 401 and b"cannot be kept here" in page.body and b'name="kept"' not in page.body


def test_a_link_cannot_put_words_into_a_form(world, anna):
    page = anna.sign_in(anna.at(TAX, "/.belfry/sign-in?to=/payments/7&kept=amount%3D1000000"), "anna")
    assert page.status == 200 and page.url == anna.at(TAX, "/payments/7"), "no form was made of it"


def test_a_form_is_kept_where_there_is_a_choice_of_providers_too(world):
    dirk = Person(world, "dirk")
    page = dirk.ask(dirk.at(EITHER, "/x"), "POST", {"text": "one"}, form_headers(dirk, EITHER))
    page = dirk.press(page, "sign-in")
    assert page.status == 200 and b"Health Agency" in page.body and b"Federal sign-in" in page.body
    form = page.form("provider")
    page = dirk.ask(dirk.at(EITHER, form.action), "POST", {**form.fields, "provider": "guests"}, form_headers(dirk, EITHER))
    page = dirk.prove(dirk.onward(page), "dirk")
    page = dirk.press(page, "send")
    assert page.status == 200 and page.url == dirk.at(EITHER, "/x")
    assert world.origin.requests[-1].body == b"text=one"


# In another language, where the page has no address of its own

def in_language(person, page, tag):
    """Presses that button at the foot of the page."""
    at = urllib.parse.urlsplit(page.url)
    form = page.form("language")
    return person.go(urllib.parse.urljoin(page.url, form.action), "POST", {**form.fields, "language": tag},
                     (f"origin: https://{at.netloc}", "sec-fetch-site: same-origin"))


def reference(page):
    return re.search(r'class="reference">([^<]+)', page.body.decode())[1]


def test_a_language_is_chosen_on_each_page_that_a_form_leads_to_and_nothing_is_lost(world):
    dirk = Person(world, "dirk")
    text = "line one\r\nline two & <b> \"é\" 100%"
    page = dirk.ask(dirk.at(EITHER, "/x?y=1"), "POST", {"text": text, "language": "xx", "page": "1"},
                    form_headers(dirk, EITHER))
    mine = reference(page)
    for tag, heading in (("nl", "Uw sessie is verlopen"), ("fr", "Votre session a expiré"), ("de", "Ihre Sitzung ist")):
        page = in_language(dirk, page, tag)
        assert page.status == 200 and page.get("content-language") == tag and heading in page.body.decode()
        assert reference(page) == mine, "of the line that the audit has"
    page = in_language(dirk, dirk.press(page, "sign-in"), "nl")
    assert "Hoe wilt u zich aanmelden?" in page.body.decode()
    page = in_language(dirk, page, "fr")
    form = page.form("provider")
    page = dirk.ask(dirk.at(EITHER, form.action), "POST", {**form.fields, "provider": "guests"}, form_headers(dirk, EITHER))
    again = in_language(dirk, page, "nl")
    assert again.get("refresh") == page.get("refresh") and "doorgestuurd" in again.body.decode()
    page = dirk.prove(dirk.onward(again), "dirk")
    assert "U bent weer aangemeld" in page.body.decode()
    page = in_language(dirk, in_language(dirk, page, "de"), "en")
    assert "You are signed in again" in page.body.decode() and page.url == dirk.at(EITHER, "/.belfry/language")
    page = dirk.press(page, "send")
    seen = world.origin.requests[-1]
    assert page.status == 200 and seen.method == "POST" and seen.target == "/x?y=1"
    assert urllib.parse.parse_qsl(seen.body.decode()) == [("text", text), ("language", "xx"), ("page", "1")]


def test_a_refusal_of_what_was_posted_is_told_in_another_language_and_is_not_posted_again(world):
    bart = Person(world, "bart")
    bart.open(NOTES)
    bart.open(TAX)
    count = len(world.origin.requests)
    page = bart.ask(bart.at(TAX, "/payments/12"), "POST", {"a": "b"}, form_headers(bart))
    refused(world, page, 403, "denied")
    event, mine = world.decision(page.get("belfry-reference")), reference(page)
    page = in_language(bart, in_language(bart, page, "de"), "nl")
    text = page.body.decode()
    assert page.get("content-language") == "nl" and "U hebt geen toegang" in text and reference(page) == mine
    assert event["belfry.missing"] == "user.groups" and "officers-write" in text and "Bart Lambert" in text and "een groep waartoe u niet behoort" in text
    assert len(world.origin.requests) == count


def test_what_went_wrong_on_the_way_back_is_told_in_another_language_and_still_leads_back(world, anna):
    page = anna.sign_in(anna.at(TAX, "/declarations/3"), "anna", stop=lambda url: "/.belfry/callback?code" in url)
    page = anna.ask(re.sub("code=[^&]+", "error=access_denied", urllib.parse.urljoin(page.url, page.get("location"))))
    refused(world, page, 403, "sign_in_denied")
    link = anna.at(TAX, "/.belfry/sign-in?to=%2Fdeclarations%2F3").encode()
    assert link in page.body
    page = in_language(anna, page, "nl")
    assert page.url == anna.at(LOGIN, "/.belfry/language") and "Niet aangemeld" in page.body.decode() and link in page.body


def test_nobody_makes_a_page_of_ours_say_something_else(world, anna):
    page = anna.ask(anna.at(TAX, "/payments/7"), "POST", {"a": "b"}, form_headers(anna))
    memo = page.form("language").fields["page"]
    for bad in (memo[:-1], memo[:-4] + "AAAA", "A" * 200, "page=refused", memo + "A"):
        for host in (TAX, LOGIN):
            answer = anna.ask(anna.at(host, "/.belfry/language"), "POST", {"page": bad, "language": "nl"},
                              form_headers(anna, host))
            refused(world, answer, 403, "cross_site")
    for host in (NOTES, LOGIN):
        answer = anna.ask(anna.at(host, "/.belfry/language"), "POST", {"page": memo, "language": "nl"},
                          form_headers(anna, host))
        refused(world, answer, 403, "cross_site")


# Out

def test_who_has_signed_out_reads_so_at_an_address_of_its_own(world, anna):
    anna.open()
    page = anna.press(anna.go(anna.at(TAX, "/.belfry/sessions")), "end-all")
    assert page.url == anna.at(TAX, "/.belfry/signed-out") and "You are signed out" in page.body.decode()
    page = in_language(anna, page, "fr")
    assert page.url == anna.at(TAX, "/.belfry/signed-out") and "Déconnexion réussie" in page.body.decode()
    anna.open()
    page = anna.go(anna.at(TAX, "/.belfry/signed-out"))
    assert page.url == anna.at(TAX, "/.belfry/sign-out"), "who is signed in again is not told otherwise"


def test_signing_out_ends_the_session_here_and_at_the_provider(world, anna):
    anna.open()
    id_of_old = anna.cookie()
    page = anna.sign_out()
    assert anna.cookie() is None
    page = anna.onward(page)
    if b'id="' in page.body and "idp.localhost" in page.url:
        page = anna.press(page, next(iter(page.forms[0].buttons)))
    assert page.url.startswith(anna.at(LOGIN, "/.belfry/signed-out")), page.url
    anna.cookies[TAX, "/", COOKIE] = id_of_old
    assert anna.ask(anna.at(TAX, "/declarations/1")).status == 303
    anna.visited.clear()
    assert anna.open().status == 200 and anna.asked_for_a_password()


def test_all_sessions_end_with_one_button(world, anna):
    anna.open(TAX)
    anna.open(NOTES)
    page = anna.go(anna.at(TAX, "/.belfry/sessions"))
    assert page.body.count(b"/.belfry/sessions\"") >= 3
    page = anna.press(page, "end-all")
    assert page.status == 200 and anna.cookie(TAX) is None
    until(lambda: anna.ask(anna.at(NOTES, "/declarations/1")).status == 303, "signed out of the notes")


def test_a_new_sign_in_right_after_the_end_of_all_sessions_stands(world, anna):
    anna.open(TAX)
    anna.press(anna.go(anna.at(TAX, "/.belfry/sessions")), "end-all")
    page = anna.open(TAX, "/declarations/1")
    assert page.status == 200 and page.url == anna.at(TAX, "/declarations/1")


def test_one_session_of_the_list_ends_alone(world, anna):
    anna.open(TAX)
    anna.open(NOTES)
    page = anna.go(anna.at(TAX, "/.belfry/sessions"))
    rows = re.findall(r"<h2[^>]*>([^<]*).*?name=\"end\" value=\"([\w-]{43})\"", page.body.decode(), re.S)
    token = re.search(r'name="token" value="([^"]+)"', page.body.decode())[1]
    notes = next(handle for name, handle in rows if "Nota" in name)
    answer = anna.ask(anna.at(TAX, "/.belfry/sessions"), "POST", {"token": token, "end": notes}, form_headers(anna))
    assert answer.status == 303
    until(lambda: anna.ask(anna.at(NOTES, "/")).status == 303, "signed out of the notes")
    assert anna.ask(anna.at(TAX, "/declarations/1")).status == 200


def test_nobody_ends_the_session_of_another(world, anna):
    bart = Person(world, "bart", "laptop-0002")
    anna.open(NOTES)
    bart.open(NOTES)
    handle = re.search(rb'name="end" value="([\w-]{43})"', anna.go(anna.at(NOTES, "/.belfry/sessions")).body)[1]
    token = re.search(rb'name="token" value="([^"]+)"', bart.go(bart.at(NOTES, "/.belfry/sessions")).body)[1]
    bart.ask(bart.at(NOTES, "/.belfry/sessions"), "POST", {"token": token.decode(), "end": handle.decode()},
             form_headers(bart, NOTES))
    assert anna.ask(anna.at(NOTES, "/")).status == 200


def test_the_provider_ends_sessions_in_the_back_channel(world):
    carine = Person(world, "carine")
    carine.open(path="/declarations/1")
    world.tell_provider("finance", "end", name="carine")
    until(lambda: carine.ask(carine.at(TAX, "/declarations/1")).status == 303, "signed out")
    began = [e for e in world.events() if e["event.action"] == "sign-in"][-1]
    told = until(lambda: [e for e in world.events() if e["event.action"] == "provider-logout" and
                          e["user.hash"] == began["user.hash"]], "the audit has it")
    assert told[-1]["belfry.provider"] == "fas"
    until(lambda: [e["belfry.detail"] for e in world.events() if e["event.action"] == "session-end" and
                   e["belfry.session"] == began["belfry.session"]] == ["signed out at the provider"], "and the session's end")


def test_a_provider_that_ends_a_sign_in_on_its_way_back_ends_the_session_that_would_come_of_it(world):
    carine = Person(world, "carine")
    page = carine.sign_in(carine.at(TAX, "/declarations/1"), "carine", stop=lambda url: "handover=" in url)
    known = len([e for e in world.events() if e["event.action"] == "provider-logout"])
    world.tell_provider("finance", "end", name="carine")
    until(lambda: len([e for e in world.events() if e["event.action"] == "provider-logout"]) > known, "no logout")
    refused(world, carine.ask(urllib.parse.urljoin(page.url, page.get("location"))), 403, "sign_in_expired")
    assert carine.cookie() is None
    assert Person(world, "carine").open(path="/declarations/1").status == 200, "a sign-in after that stands"


def test_a_logout_that_could_not_be_done_may_be_asked_for_again(world):
    signer = Signer()
    own = "https://idp.localhost/own"
    world.update("finance", lambda text: text.replace("device_authorities:", f"""  - id: own
    issuer: {own}
    jwks: '{json.dumps({"keys": [signer.jwk]})}'
    sign_in: {{ client_id: belfry, client_secret: "${{secret:fas}}" }}

device_authorities:""", 1))
    token = signer.token(own, "belfry", {"typ": "logout+jwt"}, {"sub": "anna", "events": {
        "http://schemas.openid.net/event/backchannel-logout": {}}})

    def post():
        person = Person(world, "anna", None)
        return person.ask(person.at(LOGIN, "/.belfry/backchannel-logout"), "POST", {"logout_token": token}).status

    with redis.Redis(unix_socket_path=str(world.redis_socket)) as store:
        heads = {name: store.get(name) for name in store.keys("belfry:revoked:*") if store.type(name) == b"string"}
        assert heads
        for name in heads:
            store.set(name, b"a hostile hand")
        assert post() == 503
        for name, head in heads.items():
            store.set(name, head)
    until(lambda: world.metric("belfry_revocation_alarms") == 0, "the lists are read again", 30)
    assert post() == 200
    assert post() == 400, "once"


# Those who are not that person

def test_a_stolen_cookie_is_worth_nothing_on_another_device(world, anna):
    anna.open()
    thief = Person(world, "bart", "laptop-0002")
    thief.cookies = dict(anna.cookies)
    event = refused(world, thief.ask(thief.at(TAX, "/declarations/1")), 403, "session_device_mismatch")
    assert event["event.outcome"] == "failure"
    none = Person(world, "bart", None)
    none.cookies = dict(anna.cookies)
    refused(world, none.ask(none.at(TAX, "/declarations/1")), 403, "device_required")
    assert anna.ask(anna.at(TAX, "/declarations/1")).status == 200, "and she is not signed out by that"


def test_nobody_signs_in_on_a_device_that_was_taken_back(world):
    Authority.of(world, "finance-devices").device(world, "stolen", "stolen")
    anna = Person(world, "anna", "stolen")
    page = anna.sign_in(anna.at(TAX, "/"), "anna", stop=lambda url: "handover=" in url)
    world.command("revoke", "device", "finance-laptops:stolen", "--entity", "fod-finance", "-c", world.config)
    until(lambda: anna.ask(anna.at(TAX, "/declarations/1")).status == 403, "it is taken back")
    refused(world, anna.ask(urllib.parse.urljoin(page.url, page.get("location"))), 403, "device_revoked")
    for path in ("sign-in?to=/", "whoami", "sessions", "sign-out"):
        refused(world, anna.ask(anna.at(TAX, "/.belfry/" + path)), 403, "device_revoked")


def test_a_session_of_one_application_is_none_at_another(world, anna):
    anna.open(TAX)
    anna.cookies[NOTES, "/", COOKIE] = anna.cookie(TAX)
    assert anna.ask(anna.at(NOTES, "/")).status == 303


def test_a_cookie_that_was_there_before_is_not_the_session(world, anna):
    fixed = "A" * 43
    anna.cookies[TAX, "/", COOKIE] = fixed
    assert anna.open().status == 200
    assert anna.cookie() not in (None, fixed)


def test_an_attackers_sign_in_ends_in_no_other_browser(world, anna):
    bart = Person(world, "bart")
    page = bart.sign_in(bart.at(TAX, "/"), "bart", stop=lambda url: "handover=" in url)
    link = urllib.parse.urljoin(page.url, page.get("location"))
    refused(world, anna.ask(link), 403, "sign_in_elsewhere")
    assert anna.cookie() is None
    refused(world, bart.ask(link), 403, "sign_in_expired")  # it is good once


def test_a_hand_over_is_good_on_its_own_device_alone(world, anna):
    page = anna.sign_in(anna.at(TAX, "/"), "anna", stop=lambda url: "handover=" in url)
    thief = Person(world, "anna", "laptop-0002")
    thief.cookies = dict(anna.cookies)
    refused(world, thief.ask(urllib.parse.urljoin(page.url, page.get("location"))), 403, "sign_in_elsewhere")


@pytest.mark.parametrize("change", [lambda v: "A" * len(v), lambda v: v[:-1], lambda v: v + "A", lambda v: "", None])
def test_a_hand_over_is_good_with_the_very_cookie_of_its_attempt_alone(world, anna, change):
    page = anna.sign_in(anna.at(TAX, "/"), "anna", stop=lambda url: "handover=" in url)
    mine = next(key for key in anna.cookies if "-try-" in key[2])
    value = anna.cookies.pop(mine)
    if change:
        anna.cookies[mine] = change(value)
    refused(world, anna.ask(urllib.parse.urljoin(page.url, page.get("location"))), 403, "sign_in_elsewhere")
    assert not any(name == COOKIE for _, _, name in anna.cookies)


def test_a_code_is_redeemed_only_by_the_browser_that_asked_for_it_and_once(world, anna):
    page = anna.sign_in(anna.at(TAX, "/"), "anna", stop=lambda url: "/.belfry/callback?code" in url)
    back = urllib.parse.urljoin(page.url, page.get("location"))
    refused(world, Person(world, "bart").ask(back), 403, "sign_in_elsewhere")
    kept = dict(anna.cookies)
    assert anna.go(back).status == 200
    anna.cookies.update({key: value for key, value in kept.items() if "-at-" in key[2]})
    page = anna.ask(back)
    refused(world, page, 403, "sign_in_expired")
    assert anna.at(TAX, "/.belfry/sign-in?to=%2F").encode() in page.body, "and the page leads back"


@pytest.mark.parametrize("change", [
    lambda q: q + "&state=" + "A" * 43, lambda q: re.sub("state=[^&]+", "state=x", q), lambda q: "",
    lambda q: re.sub("state=[^&]+", "state=" + "A" * 43, q), lambda q: q + "&code=x", ])
def test_what_comes_back_and_can_be_read_twice_or_not_at_all_is_refused(world, anna, change):
    page = anna.sign_in(anna.at(TAX, "/"), "anna", stop=lambda url: "/.belfry/callback?code" in url)
    at = urllib.parse.urlsplit(urllib.parse.urljoin(page.url, page.get("location")))
    page = anna.ask(urllib.parse.urlunsplit(at._replace(query=change(at.query))))
    assert page.status == 403 and page.get("location") is None


@pytest.mark.parametrize("error, status, reason", [
    ("access_denied", 403, "sign_in_denied"), ("unmet_authentication_requirements", 403, "assurance_too_low"),
    ("temporarily_unavailable", 503, "provider_unavailable"), ("invalid_scope", 502, "provider_mistaken"), ])
def test_what_a_provider_says_instead_of_a_code_is_told(world, anna, error, status, reason):
    page = anna.sign_in(anna.at(TAX, "/"), "anna", stop=lambda url: "/.belfry/callback?code" in url)
    back = re.sub("code=[^&]+", f"error={error}", urllib.parse.urljoin(page.url, page.get("location")))
    refused(world, anna.go(back), status, reason)
    assert anna.cookie() is None


STATE_CHANGING = [("/.belfry/sign-out", {}), ("/.belfry/sessions", {"end": "all"}),
                  ("/.belfry/language", {"language": "de", "to": "/"}),
                  ("/.belfry/sign-in", {"to": "/", "kept": "a=b"})]
FROM_ELSEWHERE = {"/.belfry/backchannel-logout"}  # a signature says who has sent it
ELSEWHERE = [("origin: https://evil.example",), ("origin: null",), ("sec-fetch-site: cross-site",),
             ("sec-fetch-site: same-site",), ("sec-fetch-site: none",), (),
             ("origin: https://strict.finance.localhost", "sec-fetch-site: same-site"),
             ("origin: https://tax.finance.localhost.evil.example",)]


def test_each_endpoint_that_is_posted_to_is_tried_from_elsewhere():
    """The table of proxy/own.c, line by line: one that is new is tried here, too, or says why not."""
    table = re.search(r"endpoints\[\] = \{(.*?)\n\};", (ROOT / "proxy/own.c").read_text(), re.S)[1]
    rows = [" ".join(row.split()) for row in table.split("{AT(")[1:]]
    posted = {row.split('"')[1]: row for row in rows if "POST" in row}
    assert len(rows) > 15 and set(posted) == {path for path, _ in STATE_CHANGING} | FROM_ELSEWHERE
    assert {path for path, row in posted.items() if "is_from_elsewhere" in row} == FROM_ELSEWHERE


@pytest.mark.parametrize("path, form", STATE_CHANGING)
def test_what_changes_something_is_posted_by_a_page_of_this_host_alone(world, anna, path, form):
    anna.open()
    token = re.search(rb'name="token" value="([^"]+)"', anna.go(anna.at(TAX, "/.belfry/sign-out")).body)[1].decode()
    for headers in ELSEWHERE:
        page = anna.ask(anna.at(TAX, path), "POST", {**form, "token": token}, headers)
        refused(world, page, 403, "cross_site")
        assert not page.all("set-cookie"), headers
    assert anna.ask(anna.at(TAX, "/declarations/1")).status == 200, "still signed in"


@pytest.mark.parametrize("path, form", STATE_CHANGING[:2])
def test_the_token_of_another_session_is_worth_nothing(world, anna, path, form):
    anna.open()
    for token in ("", "A" * 43, anna.cookie()):
        page = anna.ask(anna.at(TAX, path), "POST", {**form, "token": token}, form_headers(anna))
        refused(world, page, 403, "cross_site")
    assert anna.ask(anna.at(TAX, "/declarations/1")).status == 200


def test_no_get_ends_anything(world, anna):
    anna.open()
    for path in ("/.belfry/sign-out?token=x", "/.belfry/sessions?end=all", "/.belfry/language?language=de"):
        anna.ask(anna.at(TAX, path))
    assert anna.ask(anna.at(TAX, "/declarations/1")).status == 200


ASTRAY = ["//evil.example/", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "/.//evil.example",
          "/..//evil.example", "/%2e//evil.example", "/%2E%2e//evil.example", "/x/..//evil.example", "javascript:alert(1)",
          "/\tevil", "/\t/evil.example", "/\n/evil.example", "/ evil", "evil.example", "///evil.example", "https:evil.example",
          "/\u2f0f/evil.example", "\uff0f\uff0fevil.example", "data:text/html,x", "/.belfry/sign-out", "/.BELFRY/sign-in?to=/",
          "/%2Ebelfry/sign-in", "/a#//evil", "/" + "a" * 5000, "/\r\nset-cookie:x=y", ""]


@pytest.mark.parametrize("to", ASTRAY)
def test_a_sign_in_leads_back_to_this_host_alone(world, anna, to):
    anna.open(NOTES)  # the provider knows her
    page = anna.sign_in(anna.at(TAX, "/.belfry/sign-in?" + urllib.parse.urlencode({"to": to})), "anna")
    assert page.status == 200 and page.url == anna.at(TAX, "/"), (to, page.url)


def test_no_address_of_ours_leads_out_of_the_house(world, anna):
    """Each parameter that can hold an address, by each way of writing another host's; once more escaped, too."""
    anna.open(NOTES)
    pages = [*(to for to in ASTRAY if "sign-out" not in to), "/.belfry/begin?x"]
    for to in [*pages, *map(urllib.parse.quote, pages)]:
        page = anna.ask(anna.at(TAX, "/.belfry/language"), "POST", {"language": "de", "to": to}, form_headers(anna))
        leads_home(page, to)
        leads_home(anna.ask(anna.at(TAX, "/.belfry/wait?" + urllib.parse.urlencode({"to": to}))), to)
        page = anna.ask(anna.at(EITHER, "/.belfry/sign-in"), "POST", {"to": to, "kept": "a=b"}, form_headers(anna, EITHER))
        leads_home(page, to)
        page = anna.ask(anna.at(EITHER, "/.belfry/sign-in?" + urllib.parse.urlencode({"to": to})))
        leads_home(page, to)
    page = anna.ask(anna.at(TAX, "/.belfry/sign-in"), "POST", {"to": "//evil.example", "kept": "a=b"}, form_headers(anna))
    page = anna.prove(anna.onward(page), "anna")
    assert page.form("send").action == "/", "nor does what was kept go elsewhere"


def leads_home(page, to):
    """A redirect, or a page with links and forms: all of them to this very host, and none reads as another's."""
    text = page.body.decode()
    found = [page.get("location")] if page.get("location") else []
    found += map(html.unescape, re.findall(r'(?:href|action|name="to" value)="([^"]*)"', text))
    for link in map(html.unescape, re.findall(r'href="([^"]*)"', text)):
        found += urllib.parse.parse_qs(urllib.parse.urlsplit(link).query).get("to", [])
    assert found
    for at in found:
        assert re.match(r"/[^/\\\s]|/$", at) and not re.search(r"[\\\s]", at), (to, at)


# The pages and doors themselves

def test_the_login_host_asks_for_no_certificate_and_has_nothing_but_its_own(world):
    person = Person(world, "anna", None)
    page = person.ask(person.at(LOGIN, "/"))
    assert page.status == 200 and b"Signing in begins in your application" in page.body
    for path in ("/declarations/1", "/.belfry/sign-in", "/.belfry/whoami", "/.belfry/sessions", "/index.html"):
        assert person.ask(person.at(LOGIN, path)).status == 404, path
    asked = ssl.create_default_context(cafile=str(world.trust))
    with world.tls(LOGIN, context=asked) as tls:
        assert tls.version() == "TLSv1.3"


def test_pages_hold_nothing_from_elsewhere_and_the_sheet_is_for_ever(world):
    anna = Person(world, "carine")
    anna.open()
    for path in ("/.belfry/whoami", "/.belfry/sessions", "/.belfry/sign-out", "/nowhere"):
        page = anna.go(anna.at(TAX, path))
        policy = page.get("content-security-policy")
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert page.get("referrer-policy") == "strict-origin" and page.get("cache-control") == "no-store"
        assert b"<script" not in page.body and b"style=" not in page.body and len(page.body) < 10240
        assert not re.search(rb'(?:src|href)="(?:https?:)?//', page.body), path
    sheet = re.search(r'href="(/\.belfry/assets/[0-9a-f]{16}\.css)"', page.body.decode())[1]
    answer = anna.ask(anna.at(TAX, sheet))
    assert answer.status == 200 and "immutable" in answer.get("cache-control")
    assert answer.get("content-type") == "text/css; charset=utf-8"
    assert anna.ask(anna.at(LOGIN, sheet)).status == 200


def test_without_a_device_a_session_is_short_and_only_where_the_application_allows_it(world):
    anna = Person(world, "anna", None)
    assert anna.open(ANYWHERE).status == 200
    session = anna.whoami(ANYWHERE)["session"]
    assert session["ends"] - session["created"] == 3600
    assert anna.ask(anna.at(EITHER, "/")).status == 401, "there it is not allowed: no redirect"
    refused(world, anna.ask(anna.at(EITHER, "/.belfry/sign-in?to=/")), 403, "device_required")


# What grows old while it is open

@pytest.mark.parametrize("http", ["1.1", "2"])
def test_a_stream_is_cut_when_its_session_is_too_old_for_its_rule(world, anna, http):
    staff, young = """when: '"staff" in user.groups'""", """when: '"staff" in user.groups && session.age < duration("4s")'"""
    world.update("finance", lambda text: text.replace(staff, young))
    try:
        anna.open(NOTES)
        with Stream(world, NOTES, http, anna.cert, cookie=f"{COOKIE}={anna.cookie(NOTES)}") as stream:
            stream.is_cut("denied")
        assert anna.ask(anna.at(NOTES, "/")).status == 403
    finally:
        world.update("finance", lambda text: text.replace(young, staff))
    assert anna.ask(anna.at(NOTES, "/")).status == 200, "the session itself is as good as before"


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_a_stream_is_cut_when_its_person_signs_out(world, anna, http):
    anna.open(NOTES)
    with Stream(world, NOTES, http, anna.cert, cookie=f"{COOKIE}={anna.cookie(NOTES)}") as stream:
        anna.sign_out(NOTES)
        stream.is_cut("session_ended")


def test_sessions_of_a_provider_end_where_an_application_takes_it_no_more(world):
    """As its tokens do, at once: it may have been taken out because it can't be trusted any more."""
    dirk = Person(world, "dirk")
    both, one = "identity_providers: [fas, guests]", "identity_providers: [fas]"
    dirk.prove(dirk.go(dirk.at(EITHER, "/.belfry/sign-in?to=/&provider=guests")), "dirk")
    with Stream(world, EITHER, "2", dirk.cert, cookie=f"{COOKIE}={dirk.cookie(EITHER)}") as stream:
        world.update("finance", lambda text: text.replace(both, one))
        try:
            stream.is_cut("session_ended")
            assert dirk.ask(dirk.at(EITHER, "/")).status == 303, "nobody is signed in"
        finally:
            world.update("finance", lambda text: text.replace(f"maybe.finance.localhost\n    device: optional\n    {one}",
                                                              f"maybe.finance.localhost\n    device: optional\n    {both}"))
    assert dirk.ask(dirk.at(EITHER, "/")).status == 200, "the session itself is as good as before"


# What the audit has of it

def test_the_audit_has_each_sign_in_and_each_end(world, anna):
    def deeds():
        return [e for e in world.events() if e.get("event.category") == ["authentication", "session"] and
                e["event.action"] != "session-end"]

    before = len(deeds())
    anna.open(TAX)
    anna.sign_out()
    anna.open(TAX)
    anna.press(anna.go(anna.at(TAX, "/.belfry/sessions")), "end-all")
    until(lambda: len(deeds()) == before + 4, "each is told")
    told = deeds()[before:]
    assert [e["event.action"] for e in told] == ["sign-in", "sign-out", "sign-in", "sessions-end"]
    assert [e["event.type"] for e in told] == [["start"], ["end"], ["start"], ["end"]]
    assert told[0]["belfry.session"] == told[1]["belfry.session"] != told[2]["belfry.session"]
    end, = until(lambda: [e for e in world.events() if e["event.action"] == "session-end" and
                          e["belfry.session"] == told[2]["belfry.session"]], "and each session that ended with all")
    assert end["belfry.detail"] == "all sessions of the person were ended" and end["event.type"] == ["end"]
    assert {name: end[name] for name in ("user.hash", "device.id", "belfry.provider")} == {
        name: told[2][name] for name in ("user.hash", "device.id", "belfry.provider")}
    for e in told:
        assert re.fullmatch("[0-9a-f]{64}", e["user.hash"]) and e["user.hash"] == told[0]["user.hash"]
        assert e["device.id"] == "finance-laptops:laptop-0001" and e["belfry.provider"] == "fas" and e["event.id"]
        assert "anna" not in json.dumps(e).lower() and "handover" not in json.dumps(e)


# When the provider is away

@pytest.mark.long
def test_who_is_signed_in_goes_on_while_the_provider_is_away_but_not_for_ever(tmp_path):
    scopes = "      scopes: [openid, profile, roles, offline_access]\n"
    text = (ROOT / "tests/behaviour/policy/sign_in/finance.yaml").read_text()
    (tmp_path / "finance.yaml").write_text(
        text.replace(scopes, scopes + "      refresh_after: 1m\n      refresh_grace: 20s\n"))
    with World(policies=tmp_path) as world:
        world.begin()
        anna = Person(world, "anna")
        assert anna.open(path="/declarations/1").status == 200
        began = time.time()
        port = int(world.providers["finance"]["issuer"].rsplit(":", 1)[1])
        world.stop("idp-finance")
        until(lambda: world.metric("belfry_session_refreshes_deferred_total") or
              anna.ask(anna.at(TAX, "/declarations/1")).status != 200, "what is known is old", 80)
        assert 59 <= time.time() - began < 80
        asked = time.monotonic()
        page = anna.ask(anna.at(TAX, "/declarations/1"))
        assert page.status == 200 and time.monotonic() - asked < 1
        event = world.decision(page.get("belfry-reference"))
        assert event["belfry.detail"] == "the provider can't be asked: by the groups that were known"
        until(lambda: anna.ask(anna.at(TAX, "/declarations/1")).status != 200, "it is too old", 40)
        assert time.time() - began >= 79
        refused(world, anna.ask(anna.at(TAX, "/declarations/1")), 503, "provider_unavailable")
        world.start_provider("finance", port)
        world.wait_provider("finance")
        world.introduce_login_hosts(world.port)
        until(lambda: anna.ask(anna.at(TAX, "/declarations/1")).status == 303, "it no longer vouches for her", 40)
        assert anna.open(path="/declarations/1").status == 200


# When the store is away

def test_who_is_signed_in_goes_on_without_the_store_and_who_is_not_reads_why(world, anna):
    anna.open()
    for _ in range(4 * world.workers):  # each worker has met her
        assert anna.ask(anna.at(TAX, "/declarations/1")).status == 200
    world.stop("redis")
    try:
        until(lambda: world.metric("belfry_store_connected") == 0, "the store's end is seen")
        assert anna.ask(anna.at(TAX, "/declarations/1")).status == 200
        stranger = Person(world, "bart")
        page = stranger.go(stranger.at(TAX, "/declarations/1"))
        refused(world, page, 503, "store_unavailable")
        unknown = Person(world, "bart")
        unknown.cookies[TAX, "/", COOKIE] = "A" * 43
        refused(world, unknown.ask(unknown.at(TAX, "/declarations/1")), 503, "store_unavailable")
    finally:
        world.start_redis()
        world.wait_redis()
    until(lambda: world.metric("belfry_store_connected") == 1, "the store is back", 20)
    until(lambda: Person(world, "anna").open().status == 200, "people sign in again", 20)


# What is known of a person grows old

@pytest.mark.long
def test_what_one_worker_has_refreshed_may_be_old_again_when_another_meets_it():
    with World(policies=ROOT / "tests/behaviour/policy/sign_in", workers=2) as world:
        world.begin()
        world.update("finance", lambda text: text.replace("client_id: belfry", "client_id: belfry\n      refresh_after: 60s"))
        anna = Person(world, "anna")

        def ask():
            return anna.ask(anna.at(TAX, "/declarations/1")).status

        def grow_old():
            end = time.monotonic() + 61
            until(lambda: time.monotonic() > end, "a minute", 62)

        anna.open()
        assert [ask() for _ in range(16)] == [200] * 16, "both workers have met her"
        grow_old()
        asked = world.metric("belfry_provider_requests_total")
        assert ask() == 200, "one worker"
        assert world.metric("belfry_provider_requests_total") > asked, "has the provider asked"
        grow_old()
        assert [ask() for _ in range(16)] == [200] * 16, "and the other has what it brought, which is old"
        assert anna.whoami()["user"]["id"] == "fas:anna"
