# SPDX-License-Identifier: EUPL-1.2
"""A person with the browser that most people have: Debian's Chromium, with a profile, an NSS database and device
certificates of its own, all of which go when it ends. Names under .localhost are this machine to it, too. With a window
for a person (`window`), or without one for a program (`chromium`)."""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile

CHROMIUM = pathlib.Path("/usr/bin/chromium")
DRIVER = pathlib.Path("/usr/bin/chromedriver")
FLAGS = ["--disable-quic", "--no-first-run", "--no-default-browser-check", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-extensions", "--password-store=basic", "--window-size=1280,900",
         *(["--no-sandbox", "--test-type"] if os.geteuid() == 0 else [])]  # its sandbox is not for root
POLICIES = pathlib.Path("/etc/chromium/policies/managed")
WIDTHS = (1280, 390)  # a desktop, a telephone


def certificates(world, home, certs):
    """The NSS database of that home: whom it trusts, and what the device has."""
    base = home / ".pki/nssdb"
    base.mkdir(parents=True)
    words = ("certutil", "-d", f"sql:{base}")
    subprocess.run([*words, "-N", "--empty-password"], check=True, capture_output=True)
    subprocess.run([*words, "-A", "-n", "belfry", "-t", "C,,", "-i", world.trust], check=True, capture_output=True)
    for cert in certs:
        certificate, key = world.client(cert)
        bag = home / "device.p12"
        subprocess.run(["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", bag, "-passout",
                        "pass:"], check=True, capture_output=True)
        subprocess.run(["pk12util", "-d", f"sql:{base}", "-i", bag, "-W", ""], check=True, capture_output=True)
        bag.unlink()


def may_choose_by_itself():
    """Chromium takes policies from one place only, which is root's."""
    return os.geteuid() == 0 or os.access(POLICIES, os.W_OK)


@contextlib.contextmanager
def chosen_by_itself():
    """No window that asks which certificate: as on managed devices, by policy."""
    POLICIES.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=POLICIES, prefix="belfry-", suffix=".json") as file:
        json.dump({"AutoSelectCertificateForUrls": [
            json.dumps({"pattern": "https://[*.]localhost", "filter": {}})]}, file)
        file.flush()
        os.chmod(file.name, 0o644)
        yield


@contextlib.contextmanager
def home_with(world, certs):
    """A home folder of its own for one browser."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="belfry-chromium-", ignore_cleanup_errors=True))
        if may_choose_by_itself():
            stack.enter_context(chosen_by_itself())
        certificates(world, pathlib.Path(folder), certs)
        yield pathlib.Path(folder)


def environment(home):
    """Of this home; the desktop is still that of whoever looks at it."""
    theirs = {name: value for name, value in os.environ.items() if name not in ("XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    return {"XAUTHORITY": str(pathlib.Path.home() / ".Xauthority"), **theirs, "HOME": str(home)}


def has_display():
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def window(scenery, home, *addresses):
    """Opens it before a person's eyes, as a process of the scenery's."""
    scenery.spawn("chromium", [CHROMIUM, *FLAGS, f"--user-data-dir={home}/profile", *addresses], environment(home))


@contextlib.contextmanager
def chromium(world, cert="laptop-0001", *more, language="en"):
    """One that a program drives, and nobody sees. `cert`: a client of the PKI, or None."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with home_with(world, [name for name in (cert, *more) if name]) as home:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, "--headless=new", "--disable-gpu", f"--user-data-dir={home}/profile", f"--accept-lang={language}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(service=Service(str(DRIVER), env=environment(home)), options=options)
        try:
            driver.set_page_load_timeout(20)
            yield driver
        finally:
            driver.quit()


# What one does with it

def wait(driver, condition):
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, 15, 0.05, [StaleElementReferenceException]).until(condition)


def has(css):
    return lambda driver: driver.find_elements("css selector", css)


def prove(driver, person, means=""):
    """The provider's own pages."""
    wait(driver, has("[name=login]"))
    driver.find_element("name", "login").send_keys(person)
    driver.find_element("name", "password").send_keys(f"demo-{person}")
    if means:
        driver.execute_script("document.querySelector('[name=means]').value = arguments[0]", means)
    driver.find_element("id", "sign-in").click()
    wait(driver, lambda d: has("#confirm")(d) or "/interaction/" not in d.current_url)
    for button in driver.find_elements("id", "confirm"):
        button.click()


def scheme(driver, value):
    """As if the device's owner preferred it "dark" or "light"."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": value}]})


def picture(driver, path, width):
    """The whole page, as wide as that."""
    def as_large(height):
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})

    driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    as_large(0)
    as_large(driver.execute_script("return Math.max(document.documentElement.scrollHeight, 700)"))
    driver.save_screenshot(str(path))
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
