# SPDX-License-Identifier: EUPL-1.2
"""A person with a browser, but without the browser: cookies as RFC 6265 wants them, redirects one by one, forms that
are filled in and sent. Names under .localhost are this machine; other names are refused, so that a redirect that
leads out of the house is an error."""

import html.parser
import http.client
import socket
import ssl
import time
import urllib.parse

from scenery import Answer

BROWSER = ("accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",)
REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 20


class Form:
    def __init__(self, action, method):
        self.action = action
        self.method = method
        self.fields = {}
        self.buttons = {}  # id → (name, value)


class Forms(html.parser.HTMLParser):
    """The forms of a page, and its controls that belong to one by `form=ID`."""

    def __init__(self, text):
        super().__init__()
        self.forms, self.by_id, self.current, self.select = [], {}, None, None
        self.feed(text)

    def handle_starttag(self, tag, pairs):
        a = dict(pairs)
        if tag == "form":
            self.current = Form(a.get("action", ""), a.get("method", "get").lower())
            self.forms.append(self.current)
            self.by_id[a.get("id")] = self.current
        form = self.by_id.get(a["form"]) if "form" in a else self.current
        if form is None:
            return
        if tag == "input" and "name" in a and a.get("type") not in ("submit", "button"):
            form.fields[a["name"]] = a.get("value") or ""
        elif tag == "select":
            self.select = (form, a["name"])
            form.fields[a["name"]] = None
        elif tag == "option" and self.select and (self.select[0].fields[self.select[1]] is None or "selected" in a):
            self.select[0].fields[self.select[1]] = a.get("value", "")
        elif tag == "button" or (tag == "input" and a.get("type") == "submit"):
            form.buttons[a.get("id", a.get("name"))] = (a.get("name"), a.get("value", ""))

    def handle_endtag(self, tag):
        if tag == "form":
            self.current = None
        elif tag == "select":
            self.select = None


class Page(Answer):
    """An answer, and the address that gave it."""

    url = ""

    @property
    def forms(self):
        return Forms(self.body.decode()).forms

    def form(self, button):
        """The form that has this button (its id)."""
        found = [form for form in self.forms if button in form.buttons]
        assert found, f"no button {button!r} on {self.url}: {self.status} {self.body[:2000]!r}"
        return found[0]


class Browser:
    """`world`: whose authorities it trusts; `cert`: of which client of the PKI, shown to all but the providers."""

    def __init__(self, world, cert=None, language="en"):
        self.world = world
        self.cert = cert
        self.language = language
        self.cookies = {}  # (host, path, name) → value
        self.visited = []  # every address, in order

    # One request

    def jar(self, host, path):
        """What goes out; the longest paths first (RFC 6265 §5.4)."""
        fitting = [(where, name, value) for (of, where, name), value in list(self.cookies.items())
                   if of == host and (path == where or path.startswith(where.rstrip("/") + "/"))]
        return "; ".join(f"{name}={value}" for where, name, value in sorted(fitting, key=lambda c: -len(c[0])))

    def keep(self, url, line):
        first, *rest = [part.strip() for part in line.split(";")]
        name, _, value = first.partition("=")
        attributes = {key.lower(): value for key, _, value in (part.partition("=") for part in rest)}
        default = url.path.rpartition("/")[0] or "/"
        path = attributes.get("path") or default
        if name.startswith("__Host-"):
            assert "secure" in attributes and path == "/" and "domain" not in attributes, line
        assert "domain" not in attributes, f"a cookie for more than its host: {line}"
        if attributes.get("max-age") == "0" or "1970" in attributes.get("expires", ""):
            self.cookies.pop((url.hostname, path, name), None)
        else:
            self.cookies[url.hostname, path, name] = value

    def ask(self, url, method="GET", form=None, headers=()):
        """One request, its redirect not followed. `headers`: "name: value" lines."""
        at = urllib.parse.urlsplit(url)
        assert at.scheme == "https" and at.hostname.endswith(".localhost"), f"out of the house: {url}"
        self.visited.append(url)
        context = ssl.create_default_context(cafile=str(self.world.trust))
        if self.cert and at.hostname != "idp.localhost":
            context.load_cert_chain(*map(str, self.world.client(self.cert)))
        plain = socket.create_connection(("127.0.0.1", at.port or 443), timeout=10)
        line = http.client.HTTPConnection(at.hostname, at.port or 443)
        line.sock = context.wrap_socket(plain, server_hostname=at.hostname)
        fields = dict(each.split(": ", 1) for each in (*BROWSER, f"accept-language: {self.language}", *headers))
        if jar := self.jar(at.hostname, at.path or "/"):
            fields["cookie"] = jar
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            fields["content-type"] = "application/x-www-form-urlencoded"
        line.request(method, urllib.parse.urlunsplit(("", "", at.path or "/", at.query, "")), body, fields)
        answer = line.getresponse()
        page = Page(answer.status, [(name.lower(), value) for name, value in answer.getheaders()], answer.read(), "1.1")
        line.close()
        page.url = url
        for cookie in page.all("set-cookie"):
            self.keep(at, cookie)
        return page

    # A way through pages

    def ask_again(self, page):
        """What a page that refreshes itself does after its second."""
        after, target = page.get("refresh").split(";url=")
        time.sleep(float(after))
        return self.ask(urllib.parse.urljoin(page.url, target))

    def wait_through(self, page):
        """As long as pages say "one moment"; the answer behind them."""
        while page.status == 202:
            page = self.ask_again(page)
        return page

    def step(self, page):
        """Follows one redirect, as a browser does."""
        assert page.status in REDIRECTS, page
        return self.ask(urllib.parse.urljoin(page.url, page.get("location")))

    def go(self, url, method="GET", form=None, headers=(), stop=lambda url: False):
        """To the page at the end of all redirects, or to the redirect whose target `stop` says."""
        page = self.ask(url, method, form, headers)
        for _ in range(MOST_REDIRECTS):
            if page.status not in REDIRECTS:
                return page
            if stop(urllib.parse.urljoin(page.url, page.get("location"))):
                return page
            page = self.step(page)
        raise AssertionError(f"more than {MOST_REDIRECTS} redirects: {self.visited[-6:]}")

    def press(self, page, button, stop=lambda url: False, **typed):
        """Fills the form of that button in and sends it, with where it comes from as a browser says it."""
        form = page.form(button)
        fields = {**form.fields, **typed}
        name, value = form.buttons[button]
        if name:
            fields[name] = value
        target = urllib.parse.urljoin(page.url, form.action)
        at, origin = urllib.parse.urlsplit(target), "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(page.url))
        same = "same-origin" if origin == f"{at.scheme}://{at.netloc}" else "same-site"
        headers = (f"origin: {origin}", f"sec-fetch-site: {same}", "sec-fetch-mode: navigate", "sec-fetch-dest: document")
        if form.method == "get":
            return self.go(f"{target}?{urllib.parse.urlencode(fields)}", headers=headers[1:], stop=stop)
        return self.go(target, "POST", fields, headers, stop)

    def onward(self, page, stop=lambda url: False):
        """From a page that leads to another host by itself, to where it leads."""
        assert page.status == 200 and (page.get("refresh") or "").startswith("0;url="), page
        return self.go(page.get("refresh").removeprefix("0;url="), stop=stop)

    def prove(self, page, person, means="", stop=lambda url: False):
        """Answers the demo provider's pages, from the one that asks who they are; also none, where it knows."""
        if page.status == 200 and b'id="sign-in"' in page.body and "/interaction/" in page.url:
            page = self.press(page, "sign-in", stop, login=person, password=f"demo-{person}", means=means)
        if page.status == 200 and b'id="confirm"' in page.body and "/interaction/" in page.url:
            page = self.press(page, "confirm", stop)
        return page

    def sign_in(self, url, person, means="", stop=lambda url: False):
        """Opens an application's page without a session; the page that the person sees at the end. Where there are
        several providers, that of the chooser's page is to be pressed first: go(), press(), prove()."""
        return self.prove(self.go(url, stop=stop), person, means, stop)
