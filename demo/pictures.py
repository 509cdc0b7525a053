# SPDX-License-Identifier: EUPL-1.2
"""The pages that people meet, as Chromium shows them: the browser story walked once more without a window, and each
page painted as wide as a desktop in the light and as wide as a telephone in the dark."""

import chromium
from chromium import WIDTHS, has, prove, wait
from scenery import ROOT
from visits import CLAIMS, LOGIN, REGISTRY, TAX

FOLDER = ROOT / "build/demo"
SCHEMES = ("light", "dark")


class Pictures:
    def __init__(self, scenery, table):
        self.scenery = scenery
        self.table = table
        self.driver = None
        self.count = 0

    def open(self, host, path):
        self.driver.get(f"https://{host}:{self.scenery.ports['gateway']}{path}")

    def page(self, name, expected):
        """One page: what its heading says, and two files."""
        driver, self.count = self.driver, self.count + 1
        seen = driver.find_element("tag name", "h1").text
        for width, scheme in zip(WIDTHS, SCHEMES):
            chromium.scheme(driver, scheme)
            chromium.picture(driver, FOLDER / f"{self.count:02}-{name.replace(' ', '-')}-{width}.png", width)
        chromium.scheme(driver, "light")
        self.table.line(name, expected, seen)

    def play(self):
        FOLDER.mkdir(parents=True, exist_ok=True)
        for old in FOLDER.glob("[0-9][0-9]-*.png"):
            old.unlink()
        with chromium.chromium(self.scenery, None) as self.driver:
            self.open(TAX, "/declarations/7")
            self.page("a device that nobody knows", "Use a managed device")
        with chromium.chromium(self.scenery, "laptop-0001", "tablet-0001") as self.driver:
            for host in (TAX, LOGIN, CLAIMS, REGISTRY):
                self.driver.execute_cdp_cmd("Network.setCookie", {
                    "name": "__Host-belfry-language", "value": "en", "url": f"https://{host}", "path": "/", "secure": True})
            self.at_health()
            self.at_finance()

    def at_health(self):
        self.open(CLAIMS, "/claims/7")
        self.page("the provider", "Sign in at health")
        prove(self.driver, "dirk")
        wait(self.driver, has("#save"))
        self.page("the first application", "Claims desk")
        self.open(REGISTRY, "/")
        self.page("the second application", "Registry")
        self.open(REGISTRY, "/records/export/all")
        self.page("forbidden", "Access forbidden")

    def at_finance(self):
        driver = self.driver
        self.open(TAX, "/declarations/7")
        prove(driver, "carine", "password")
        wait(driver, has("#save"))
        self.open(TAX, "/export")
        self.page("refused", "You do not have access")
        self.open(TAX, "/declarations/7")
        self.assess()
        self.page("a stronger sign-in", "This needs a stronger sign-in")
        driver.find_element("id", "sign-in").click()
        prove(driver, "carine", "password")
        wait(driver, has(".reference"))
        self.page("not strong enough", "A stronger sign-in is needed")
        self.open(TAX, "/declarations/7")
        self.assess()
        driver.find_element("id", "sign-in").click()
        prove(driver, "carine", "eid")
        wait(driver, has("#send"))
        self.page("send it now", "You are signed in again")
        driver.find_element("id", "send").click()
        wait(driver, has("#save"))
        self.page("it has arrived", "Tax desk")
        for name, path, expected in (("who am I", "whoami", "What the application knows about you"),
                                     ("my sessions", "sessions", "Where you are signed in"),
                                     ("sign out", "sign-out", "Do you want to sign out?")):
            self.open(TAX, f"/.belfry/{path}")
            self.page(name, expected)
        driver.find_element("id", "sign-out").click()
        wait(driver, lambda d: "idp.localhost" in d.current_url)
        self.page("the provider asks, too", "Sign out here, too?")
        driver.find_element("id", "sign-out").click()
        wait(driver, lambda d: "/.belfry/signed-out" in d.current_url)
        self.page("signed out", "You are signed out")

    def assess(self):
        wait(self.driver, has("#save"))
        self.driver.find_element("id", "text").send_keys("1200 euro")
        self.driver.find_element("id", "save").click()
        wait(self.driver, has("#sign-in"))
