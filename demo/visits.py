# SPDX-License-Identifier: EUPL-1.2
"""What people meet in a browser: they sign in, go on to a second application, are refused, prove themselves more
strongly, lose a cookie to a thief, sign out. Each is HTTP as a browser does it (demo/sign_in.py), over real parts."""

import html
import json
import re
import time
import urllib.parse

from sign_in import Browser

TAX = "tax.finance.localhost"
CLAIMS = "claims.health.localhost"
LOGIN = "login.finance.localhost"
REGISTRY = "registry.health.localhost"
SESSION = "__Host-belfry"
FORGET_S = 5  # so long a provider may take to tell that a session is over


def text_of(page, pattern):
    """What stands there on the page, as it is read."""
    found = re.search(pattern, page.body.decode(), re.S)
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])).strip() if found else ""


def heading(page):
    return text_of(page, r"<h1>(.*?)</h1>")


def is_asked(page):
    """Is this where a provider asks who somebody is?"""
    return page.status == 200 and "/interaction/" in page.url and b'name="password"' in page.body


def in_words(page, reason_of):
    """Where they are, in the words of the column `expected`."""
    if is_asked(page):
        return "the provider asks"
    if urllib.parse.urlsplit(page.url).path == "/.belfry/signed-out":
        return "signed out"
    if b'id="send"' in page.body:
        return "send it now?"
    if b'name="kept"' in page.body:
        return "kept, sign in again"
    known = text_of(page, r"<dt>sub</dt><dd>(.*?)</dd>")
    if page.status == 200 and known:
        return f"in, known as {known.rpartition(':')[2]}"
    return f"{page.status} {reason_of(page.get('belfry-reference'))}"


class Visits:
    def __init__(self, scenery, table):
        self.scenery = scenery
        self.table = table

    def url(self, host, path):
        return f"https://{host}:{self.scenery.ports['gateway']}{path}"

    def step(self, text, expected, visit, note=None):
        """`visit` → the page at its end, of which `note` may say more."""
        began = time.monotonic()
        try:
            page = visit()
            seen, more = in_words(page, self.reason_of), note(page) if note else None
        except (AssertionError, AttributeError, OSError, ValueError) as trouble:  # a page that is not the one that was due
            page, seen, more = None, str(trouble)[:60], None
        self.table.line(text, expected, seen, (time.monotonic() - began) * 1000, more)
        return page

    def reason_of(self, reference, limit_s=2):
        """What the audit says of it, as whoever is called by the person finds it."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            for line in self.scenery.audit.read_text().splitlines():
                if f'"event.id":"{reference}"' in line:
                    return json.loads(line)["belfry.reason_code"]
            time.sleep(0.02)  # it is written behind the answer
        return "without a reason"

    @staticmethod
    def english(person):
        """Chosen by the button at the foot of the pages: it counts for more than what the provider says of them."""
        for host in (TAX, LOGIN):
            person.cookies[host, "/", "__Host-belfry-language"] = "en"
        return person

    @staticmethod
    def way(person, since):
        """Through which hosts they came."""
        hosts = [urllib.parse.urlsplit(url).hostname for url in person.visited[since:]]
        return " → ".join(host for i, host in enumerate(hosts) if i == 0 or host != hosts[i - 1])

    def play(self):
        dirk = Browser(self.scenery, "tablet-0001", "de")
        self.first_visit(dirk)
        self.refused()
        self.step_up()
        self.sign_out(dirk)

    def first_visit(self, dirk):
        page = self.step("Dirk opens a claim, for the first time", "the provider asks",
                         lambda: dirk.go(self.url(CLAIMS, "/claims/7")), lambda page: self.way(dirk, 0))
        since = len(dirk.visited)
        self.step("  he signs in there, and is back at it", "in, known as dirk", lambda: self.back(dirk.prove(page, "dirk"), "/claims/7"),
                  lambda page: self.way(dirk, since))
        seen = len(dirk.visited)
        self.step("  a second application asks him nothing", "in, known as dirk", lambda: dirk.go(self.url(REGISTRY, "/")),
                  lambda page: self.way(dirk, seen))

    @staticmethod
    def back(page, path):
        assert urllib.parse.urlsplit(page.url).path == path, f"at {page.url}"
        return page

    def refused(self):
        bart = Browser(self.scenery, "laptop-0001", "fr")
        self.step("Bart, who is no tax officer, reads why not", "403 denied",
                  lambda: bart.sign_in(self.url(TAX, "/declarations/7"), "bart"),
                  lambda page: f"{heading(page)}: {text_of(page, r'<p class=.why.>(.*?)</p>')} "
                               f"{page.get('belfry-reference')}")

    def step_up(self):
        """A form that needs more than a password, and is not lost by that; and what her cookie is worth elsewhere."""
        carine = self.english(Browser(self.scenery, "laptop-0001"))
        where = self.url(TAX, "/declarations/7")
        desk = self.step("Carine reads it, signed in by password", "in, known as carine",
                         lambda: carine.sign_in(where, "carine", "password"))
        kept = self.step("  her form needs a stronger sign-in", "kept, sign in again",
                         lambda: carine.press(desk, "save", text="1200 euro"), heading)
        self.step("  by password once more: no circle", "403 assurance_too_low",
                  lambda: carine.prove(carine.onward(carine.press(kept, "sign-in")), "carine", "password"), heading)
        again = self.step("  by identity card", "send it now?",
                          lambda: carine.prove(carine.onward(carine.press(carine.press(desk, "save", text="1200 euro"), "sign-in")),
                                               "carine", "eid"), heading)
        self.step("  and it arrives as she wrote it", "in, known as carine", lambda: carine.press(again, "send"),
                  lambda page: text_of(page, r"<p>(.*?)</p>") + " What arrived: " + text_of(page, r"<dt>body</dt><dd>(.*?)</dd>"))
        thief = self.english(Browser(self.scenery, "laptop-0002"))
        thief.cookies |= {key: value for key, value in carine.cookies.items() if key[::2] == (TAX, SESSION)}
        self.step("Her cookie, on another laptop of Finance", "403 session_device_mismatch", lambda: thief.go(where), heading)

    def sign_out(self, dirk):
        def leave():
            page = dirk.onward(dirk.press(dirk.go(self.url(CLAIMS, "/.belfry/sign-out")), "sign-out"))
            return dirk.press(page, "sign-out") if "idp.localhost" in page.url else page

        def look_again():
            end = time.monotonic() + FORGET_S
            while not is_asked(page := dirk.go(self.url(REGISTRY, "/"))) and time.monotonic() < end:
                time.sleep(0.02)
            return page

        self.step("Dirk signs out of the first application", "signed out", leave, heading)
        self.step("  the provider tells: the second ends, too", "the provider asks", look_again)
