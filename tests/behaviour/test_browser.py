# SPDX-License-Identifier: EUPL-1.2
"""The same people as in test_sign_in.py, with Chromium: what a browser really does about certificates, cookies,
redirects, forms and the policies of our pages."""

import pathlib

import pytest

pytest.importorskip("selenium")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from chromium import chromium  # noqa: E402
from world import ROOT, World  # noqa: E402

TAX, NOTES, LOGIN = "tax.finance.localhost", "strict.finance.localhost", "login.finance.localhost"
pytestmark = pytest.mark.skipif(not pathlib.Path("/usr/bin/chromedriver").exists(), reason="chromium-driver is not there")


@pytest.fixture(scope="module")
def world():
    with World(policies=ROOT / "tests/behaviour/policy/sign_in") as world:
        yield world.begin()


@pytest.fixture
def browser(world):
    with chromium(world) as driver:
        yield driver


def at(world, host, path="/"):
    return f"https://{host}:{world.port}{path}"


def wait(driver, condition):
    return WebDriverWait(driver, 15).until(condition)


def is_at(url):
    return lambda driver: driver.current_url == url


def prove(driver, person, means=""):
    """The provider's own pages."""
    wait(driver, lambda d: d.find_elements(By.ID, "sign-in"))
    driver.find_element(By.NAME, "login").send_keys(person)
    driver.find_element(By.NAME, "password").send_keys(f"demo-{person}")
    if means:
        driver.execute_script("document.querySelector('[name=means]').value = arguments[0]", means)
    driver.find_element(By.ID, "sign-in").click()
    wait(driver, lambda d: d.find_elements(By.ID, "confirm") or "/interaction/" not in d.current_url)
    for button in driver.find_elements(By.ID, "confirm"):
        button.click()


def test_the_first_visit_then_a_second_application_without_a_second_sign_in(world, browser):
    browser.get(at(world, TAX, "/declarations/12?x=1"))
    prove(browser, "anna")
    wait(browser, is_at(at(world, TAX, "/declarations/12?x=1")))
    assert "/declarations/12" in browser.page_source
    browser.get(at(world, NOTES, "/today"))
    wait(browser, lambda d: d.current_url == at(world, NOTES, "/today") or d.find_elements(By.ID, "confirm"))
    assert not browser.find_elements(By.NAME, "password")
    wait(browser, is_at(at(world, NOTES, "/today")))


def test_a_form_that_met_no_session_is_sent_again_by_a_button(world, browser):
    browser.get(at(world, TAX, "/.belfry/whoami"))  # a page of this host, from which a form can be posted
    browser.execute_script("""
        const form = document.createElement('form');
        form.method = 'post'; form.action = '/payments/7';
        form.innerHTML = '<textarea name="text"></textarea>';
        form.firstChild.value = 'one\\ntwo é';
        document.body.append(form); form.submit();""")
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


def test_a_language_is_chosen_by_its_button(world, browser):
    browser.get(at(world, LOGIN, "/"))
    browser.find_element(By.CSS_SELECTOR, "button[value=de]").click()
    wait(browser, lambda d: d.find_element(By.TAG_NAME, "html").get_attribute("lang") == "de")
    assert "Anmeldung" in browser.page_source
    sheet = browser.execute_script("return document.styleSheets.length && document.styleSheets[0].cssRules.length")
    assert sheet > 10, "the style sheet is used"
