# SPDX-License-Identifier: EUPL-1.2
"""The same people as in test_sign_in.py, with Chromium: what a browser really does about certificates, cookies,
redirects, forms and the policies of our pages."""

import os
import signal
import urllib.parse

import pytest

pytest.importorskip("selenium")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from chromium import DRIVER, WIDTHS, chromium, picture, prove, scheme, wait  # noqa: E402
from test_sign_in import STATE_CHANGING  # noqa: E402
from world import ROOT, World, until  # noqa: E402

TAX, NOTES, EITHER, AWAY, LOGIN = (f"{name}.finance.localhost" for name in ("tax", "strict", "maybe", "dead", "login"))
AXE = ROOT / "tests/axe/node_modules/axe-core/axe.min.js"
LANGUAGES = ("nl", "fr", "de", "en")
LIMITS = "limits: { handshakes: 0, handshakes_per_address: 0, requests_per_user: 10 }\n"
pytestmark = pytest.mark.skipif(not DRIVER.exists(), reason="chromium-driver is not there")


@pytest.fixture(scope="module")
def world():
    with World(policies=ROOT / "tests/behaviour/policy/sign_in", extra_config=LIMITS) as world:
        yield world.begin()


@pytest.fixture(scope="module")
def opened(world):
    with chromium(world) as driver:
        yield driver


@pytest.fixture
def browser(opened):
    """A browser that nobody has signed in with yet."""
    opened.execute_cdp_cmd("Network.clearBrowserCookies", {})
    return opened


def at(world, host, path="/"):
    return f"https://{host}:{world.port}{path}"


def is_at(url):
    return lambda driver: driver.current_url == url


def test_the_first_visit_then_a_second_application_without_a_second_sign_in(world, browser):
    browser.get(at(world, TAX, "/declarations/12?x=1"))
    prove(browser, "anna")
    wait(browser, is_at(at(world, TAX, "/declarations/12?x=1")))
    assert "/declarations/12" in browser.page_source
    browser.get(at(world, NOTES, "/today"))
    wait(browser, lambda d: d.current_url == at(world, NOTES, "/today") or d.find_elements(By.ID, "confirm"))
    assert not browser.find_elements(By.NAME, "password")
    wait(browser, is_at(at(world, NOTES, "/today")))


def post(driver, action, **fields):
    """By a form of the page that is open."""
    driver.execute_script("""
        const form = document.createElement('form');
        form.method = 'post'; form.action = arguments[0];
        for (const [name, value] of Object.entries(arguments[1])) {
            const field = document.createElement('textarea');
            field.name = name; field.value = value;
            form.append(field);
        }
        document.body.append(form); form.submit();""", action, fields)


def test_a_form_that_met_no_session_is_sent_again_by_a_button(world, browser):
    browser.get(at(world, TAX, "/.belfry/whoami"))  # a page of this host, from which a form can be posted
    post(browser, "/payments/7", text="one\ntwo é")
    wait(browser, lambda d: d.find_elements(By.ID, "sign-in"))
    assert "has ended" in browser.page_source
    browser.find_element(By.ID, "sign-in").click()
    prove(browser, "anna")
    wait(browser, lambda d: d.find_elements(By.ID, "send"))
    browser.find_element(By.ID, "send").click()
    wait(browser, is_at(at(world, TAX, "/payments/7")))
    seen = world.origin.requests[-1]
    assert seen.method == "POST" and seen.body == b"text=one%0D%0Atwo+%C3%A9"


def test_signing_out_goes_on_to_the_provider_by_itself(world, browser):
    browser.get(at(world, TAX, "/declarations/1"))
    prove(browser, "anna")
    wait(browser, is_at(at(world, TAX, "/declarations/1")))
    browser.get(at(world, TAX, "/.belfry/sign-out"))
    browser.find_element(By.ID, "sign-out").click()
    wait(browser, lambda d: "idp.localhost" in d.current_url or LOGIN in d.current_url)
    if "idp.localhost" in browser.current_url:
        browser.find_element(By.CSS_SELECTOR, "button").click()
    wait(browser, lambda d: d.current_url.startswith(at(world, LOGIN, "/.belfry/signed-out")))
    browser.get(at(world, TAX, "/declarations/1"))
    wait(browser, lambda d: d.find_elements(By.NAME, "password"))


def spoken(driver):
    return driver.execute_script("return document.documentElement.lang")


def speak(driver, language):
    """By the button at the foot of the page, where it is not spoken yet."""
    if spoken(driver) != language:
        driver.find_element(By.CSS_SELECTOR, f"button[value={language}]").click()
    wait(driver, lambda d: spoken(d) == language)


def test_a_language_is_chosen_by_its_button(world, browser):
    browser.get(at(world, LOGIN, "/"))
    speak(browser, "de")
    assert "Anmeldung" in browser.page_source
    sheet = browser.execute_script("return document.styleSheets.length && document.styleSheets[0].cssRules.length")
    assert sheet > 10, "the style sheet is used"


def test_who_waits_for_a_provider_that_hangs_goes_on_by_itself(world, browser):
    pid = world.processes["idp-finance"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        world.update("finance", lambda text: text.replace("client_id: belfry", "client_id: belfry\n      refresh_after: 20m", 1))
        browser.get(at(world, TAX, "/declarations/1"))
        assert heading(browser).startswith("One moment")
        browser.execute_script("document.querySelector('button[value=de]').click()")  # before it asks again
        wait(browser, lambda d: spoken(d) == "de")
        page = browser.page_source
    finally:
        os.kill(pid, signal.SIGCONT)
    assert "Einen Moment" in page and 'lang="de"' in page
    wait(browser, lambda d: d.find_elements(By.NAME, "login"))
    # The page as it stood, that no longer leaves while it is judged.
    browser.get(at(world, LOGIN, "/"))
    browser.execute_script("document.documentElement.innerHTML = arguments[0]", page)
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})
    assert judged(browser) == [] and fits_a_telephone(browser)
    pictures(browser, "moment-de-light")


# Refused, stepped up, signed out everywhere, and somebody else

def heading(driver):
    return driver.find_element(By.TAG_NAME, "h1").text


def sign_in(world, driver, person, host=TAX, path="/declarations/1"):
    driver.get(at(world, host, path))
    if "/interaction/" in driver.current_url:
        prove(driver, person)
    wait(driver, is_at(at(world, host, path)))


def test_a_refusal_says_why_and_what_to_tell_the_help_desk(world, browser):
    sign_in(world, browser, "bart", NOTES, "/today")
    browser.get(at(world, TAX, "/declarations/12"))
    wait(browser, is_at(at(world, TAX, "/declarations/12")))
    assert heading(browser) == "Vous n’avez pas accès"
    reference = browser.find_element(By.CLASS_NAME, "reference").text
    assert world.decision(reference)["belfry.reason_code"] == "denied"
    assert "Bart Lambert" in browser.find_element(By.TAG_NAME, "main").text, "perhaps it should have been somebody else"
    browser.find_element(By.CSS_SELECTOR, "a[href='/.belfry/sign-out']").click()
    wait(browser, lambda d: d.find_elements(By.ID, "sign-out"))


def test_a_step_up_leads_there_and_back(world, browser):
    sign_in(world, browser, "carine")
    browser.get(at(world, TAX, "/payments/7"))
    prove(browser, "carine", "eid")
    wait(browser, is_at(at(world, TAX, "/payments/7")))
    assert world.origin.requests[-1].target in ("/payments/7", "/favicon.ico")


def test_all_sessions_end_at_once(world, browser):
    sign_in(world, browser, "anna")
    sign_in(world, browser, "anna", NOTES, "/today")
    browser.get(at(world, TAX, "/.belfry/sessions"))
    browser.find_element(By.ID, "end-all").click()
    wait(browser, lambda d: not d.find_elements(By.ID, "end-all"))
    kept = browser.execute_cdp_cmd("Network.getCookies", {"urls": [at(world, TAX)]})["cookies"]
    assert "__Host-belfry" not in [cookie["name"] for cookie in kept]
    stale = browser.execute_cdp_cmd("Network.getCookies", {"urls": [at(world, NOTES)]})["cookies"]
    assert "__Host-belfry" in [cookie["name"] for cookie in stale], "the notes' cookie is still there"
    until(lambda: browser.get(at(world, NOTES, "/.belfry/whoami")) or "fas:anna" not in browser.page_source,
          "signed out of the notes")


def test_a_stolen_cookie_is_worth_nothing_in_a_browser_of_another_device(world, browser):
    sign_in(world, browser, "anna")
    stolen = browser.execute_cdp_cmd("Network.getCookies", {"urls": [at(world, TAX)]})["cookies"]
    with chromium(world, "laptop-0002") as thief:
        for cookie in stolen:
            thief.execute_cdp_cmd("Network.setCookie", {
                "url": at(world, TAX), **{key: cookie[key] for key in ("name", "value", "path", "secure", "httpOnly")}})
        thief.get(at(world, TAX, "/declarations/1"))
        assert heading(thief) == "This session belongs to another device"
        reference = thief.find_element(By.CLASS_NAME, "reference").text
        assert world.decision(reference)["belfry.reason_code"] == "session_device_mismatch"
    browser.get(at(world, TAX, "/declarations/1"))
    assert browser.current_url == at(world, TAX, "/declarations/1"), "and she is not signed out by that"


@pytest.mark.parametrize("path, form", STATE_CHANGING)
def test_a_page_of_another_host_changes_nothing_in_a_persons_name(world, browser, path, form):
    """Of the same site, so that her cookies go along: it is the browser's word for where it comes from that counts."""
    sign_in(world, browser, "anna")
    sign_in(world, browser, "anna", NOTES, "/today")
    post(browser, at(world, TAX, path), **form, token="A" * 43)
    wait(browser, is_at(at(world, TAX, path)))
    assert browser.find_element(By.CLASS_NAME, "code").text == "403 cross_site"
    browser.get(at(world, TAX, "/declarations/1"))
    assert browser.current_url == at(world, TAX, "/declarations/1"), "she is still signed in"
    kept = browser.execute_cdp_cmd("Network.getCookies", {"urls": [at(world, TAX)]})["cookies"]
    assert [cookie["name"] for cookie in kept] == ["__Host-belfry"], "and has nothing that she did not have before"


def test_a_session_that_was_there_before_the_sign_in_is_not_hers(world, browser):
    fixed = "A" * 43
    browser.execute_cdp_cmd("Network.setCookie", {
        "name": "__Host-belfry", "value": fixed, "url": at(world, TAX), "path": "/", "secure": True, "httpOnly": True})
    sign_in(world, browser, "carine")
    first = session_cookie(world, browser)
    assert first and first != fixed
    browser.get(at(world, TAX, "/payments/7"))
    prove(browser, "carine", "eid")
    wait(browser, is_at(at(world, TAX, "/payments/7")))
    assert session_cookie(world, browser) not in (first, fixed), "nor is that of the weaker sign-in the stronger one's"


def session_cookie(world, driver):
    kept = driver.execute_cdp_cmd("Network.getCookies", {"urls": [at(world, TAX)]})["cookies"]
    return next((cookie["value"] for cookie in kept if cookie["name"] == "__Host-belfry"), None)


def test_no_sign_in_ends_at_another_host(world, browser):
    """What a browser makes of an address, which no list of bad ones knows in full."""
    sign_in(world, browser, "anna", NOTES, "/today")
    for to in ("//evil.example/", "/\\evil.example", "/\t/evil.example", "https:evil.example", "/%2e%2e//evil.example",
               "/%5Cevil.example", "/%09/evil.example"):
        for again in (to, urllib.parse.quote(to, safe="")):
            browser.get(at(world, TAX, "/.belfry/sign-in?" + urllib.parse.urlencode({"to": again})))
            wait(browser, lambda d: TAX in d.current_url and "/.belfry/" not in d.current_url)
            assert browser.current_url.startswith(at(world, TAX, "/")), again


def press(driver, *keys):
    ActionChains(driver).send_keys(*keys).perform()


def tab_to(driver, css):
    """By Tab alone; what has the focus shows it."""
    for _ in range(12):
        press(driver, Keys.TAB)
        if driver.execute_script("return document.activeElement.matches(arguments[0])", css):
            return
    raise AssertionError(f"Tab does not reach {css}")


def test_a_person_without_a_mouse_signs_in(world, browser):
    browser.get(at(world, EITHER, "/x?y=1"))
    tab_to(browser, "a[href*='provider=fas']")
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "one sees where one is"
    press(browser, Keys.ENTER)
    wait(browser, lambda d: d.find_elements(By.ID, "sign-in"))
    if not browser.execute_script("return document.activeElement.matches('[name=login]')"):
        tab_to(browser, "[name=login]")
    press(browser, "anna")
    tab_to(browser, "[name=password]")
    press(browser, "demo-anna", Keys.ENTER)
    wait(browser, lambda d: d.find_elements(By.ID, "confirm") or "/interaction/" not in d.current_url)
    if browser.find_elements(By.ID, "confirm"):
        tab_to(browser, "#confirm")
        press(browser, Keys.ENTER)
    wait(browser, is_at(at(world, EITHER, "/x?y=1")))


# How the pages look, and to whom they can be read

def pages(world, driver):
    """Goes from page to page of ours, and says at each what it is called."""
    for name, host, path in (("choose", EITHER, "/x?y=1"), ("home", LOGIN, "/"), ("whoami-nobody", TAX, "/.belfry/whoami"),
                             ("signed-out", LOGIN, "/.belfry/signed-out"),
                             ("sign-in-expired", LOGIN, f"/.belfry/callback?code=x&state={'A' * 43}")):
        driver.get(at(world, host, path))
        yield name
    driver.get(at(world, NOTES, "/.belfry/whoami"))
    post(driver, "/today", text="some text")
    wait(driver, lambda d: d.find_elements(By.ID, "sign-in"))
    yield "kept"
    driver.find_element(By.ID, "sign-in").click()
    prove(driver, "carine")
    wait(driver, lambda d: d.find_elements(By.ID, "send"))
    yield "resend"
    for host in (TAX, AWAY):
        driver.get(at(world, host))
        wait(driver, is_at(at(world, host)))
    yield "upstream"
    for name, path in (("whoami", "/.belfry/whoami"), ("sessions", "/.belfry/sessions"), ("sign-out", "/.belfry/sign-out"),
                       ("refused", "/audits/3")):
        driver.get(at(world, TAX, path))
        yield name
    post(driver, "/payments/7", text="some text")
    wait(driver, lambda d: d.find_elements(By.ID, "sign-in"))
    yield "step-up"
    driver.get(at(world, TAX, "/payments/7"))
    prove(driver, "carine", "password")
    wait(driver, lambda d: d.current_url.startswith(at(world, LOGIN, "/.belfry/callback")))
    yield "step-up-failed"
    for language in LANGUAGES:  # it is gone a second later: each is met anew
        driver.execute_cdp_cmd("Network.setCookie", {"name": "__Host-belfry-language", "value": language,
                                                     "url": at(world, TAX), "path": "/", "secure": True})
        for _ in range(20):
            driver.get(at(world, TAX, "/declarations/1"))
            if driver.find_elements(By.CLASS_NAME, "reference"):
                break
            driver.execute_async_script("Promise.all([...Array(80)].map(() => fetch('/declarations/1'))).then(arguments[0])")
        assert "429" in driver.find_element(By.CLASS_NAME, "code").text
        yield f"too-many-{language}"


def pictures(driver, name):
    """For whoever changes a page: BELFRY_PICTURES=FOLDER."""
    if not (folder := os.environ.get("BELFRY_PICTURES")):
        return
    for width in WIDTHS:
        picture(driver, f"{folder}/{name}-{width}.png", width)


def judged(driver, *rules):
    """What axe-core says against the page, by WCAG 2.1 A and AA or by those rules of its own."""
    return driver.execute_async_script("""
        const [rules, done] = arguments;
        axe.run({runOnly: rules.length ? rules : ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], resultTypes: ['violations']})
            .then(r => done(r.violations.map(v => [v.id, v.nodes.map(n => n.html + n.failureSummary)])));""", rules)


def fits_a_telephone(driver):
    """Nothing to scroll sideways at 320 pixels (WCAG 1.4.10), and buttons for thumbs."""
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": True})
    width, lowest = driver.execute_script("""
        return [document.documentElement.scrollWidth,
                Math.min(...[...document.querySelectorAll('.button, button')].map(b => b.offsetHeight))]""")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return width <= 320 and (lowest is None or lowest >= 44)


def looked_at(driver, name, axe):
    """In the light and in the dark: what axe finds, by the name of the page."""
    driver.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})  # beside the page's own policy, which stays
    found = {name: judged(driver)}
    assert fits_a_telephone(driver), name
    assert driver.title.startswith(heading(driver)), name
    pictures(driver, f"{name}-light")
    scheme(driver, "dark")
    found[f"{name} in the dark"] = judged(driver, "color-contrast")
    pictures(driver, f"{name}-dark")
    scheme(driver, "light")
    return found


def test_each_page_can_be_read_by_everybody_and_in_each_language(world, browser):
    axe, found = AXE.read_text(), {}
    for name in pages(world, browser):
        if name.startswith("too-many"):
            found |= looked_at(browser, name, axe)
            continue
        for language in LANGUAGES:
            speak(browser, language)
            found |= looked_at(browser, f"{name}-{language}", axe)
    assert len(found) > 100 and not any(found.values()), {name: what for name, what in found.items() if what}
