# SPDX-License-Identifier: EUPL-1.2
"""A person with the browser that most people have: Debian's Chromium, with a profile, an NSS database and a device
certificate of its own. Names under .localhost are this machine to it, too."""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = ("--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync --disable-extensions --window-size=1280,900").split()
POLICIES = pathlib.Path("/etc/chromium/policies/managed")


def certificates(world, home, cert):
    """The NSS database of that home: whom it trusts, and the device's certificate."""
    base = home / ".pki/nssdb"
    base.mkdir(parents=True)
    words = ("certutil", "-d", f"sql:{base}")
    subprocess.run([*words, "-N", "--empty-password"], check=True, capture_output=True)
    subprocess.run([*words, "-A", "-n", "tests", "-t", "C,,", "-i", world.trust], check=True, capture_output=True)
    if cert:
        certificate, key = world.client(cert)
        bag = home / "device.p12"
        subprocess.run(["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", bag, "-passout",
                        "pass:"], check=True, capture_output=True)
        subprocess.run(["pk12util", "-d", f"sql:{base}", "-i", bag, "-W", ""], check=True, capture_output=True)


@contextlib.contextmanager
def chosen_by_itself():
    """Chromium shows no window that asks which certificate: as on managed devices, by policy."""
    POLICIES.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=POLICIES, prefix="belfry-tests-", suffix=".json") as file:
        json.dump({"AutoSelectCertificateForUrls": [
            json.dumps({"pattern": "https://[*.]localhost", "filter": {}})]}, file)
        file.flush()
        yield


@contextlib.contextmanager
def chromium(world, cert="laptop-0001", language="en"):
    with tempfile.TemporaryDirectory(prefix="belfry-chromium-") as folder, chosen_by_itself():
        home = pathlib.Path(folder)
        certificates(world, home, cert)
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*FLAGS, f"--user-data-dir={home}/profile", f"--accept-lang={language}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver", env={**os.environ, "HOME": folder}),
                                  options=options)
        try:
            driver.set_page_load_timeout(20)
            yield driver
        finally:
            driver.quit()
