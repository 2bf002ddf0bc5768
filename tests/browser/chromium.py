"""Chromium without a window, driven by Selenium: of this machine, or Debian's, unpacked as the other programs are.

It reaches nothing but loopback: every other name is unknown to it. Its profile is thrown away with its folder. Synchronous.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.localmesh.debian import BROWSER, NotHere, find_packaged

_ARGUMENTS = (
    "--headless=new",
    # The unpacked one has no helper that is setuid, and root has no sandbox; it shows our own page only.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--force-color-profile=srgb",
)
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir><include ignore_missing="yes">/etc/fonts/fonts.conf</include></fontconfig>
"""


@contextmanager
def chromium(folder: Path, *, width: int = 1280, height: int = 900) -> Iterator[Chrome]:
    """Start it, with its console and its requests kept for `get_log`. Raises NotHere when it cannot be had."""
    driver, environment = find_packaged(BROWSER)
    if environment:
        root = driver.parents[2]
        program = root / "usr" / "lib" / "chromium" / "chromium"
        fonts = folder / "fonts.conf"
        fonts.write_text(_FONTS.format(fonts=root / "usr" / "share" / "fonts", cache=folder / "fonts"))
        environment = environment | {"FONTCONFIG_FILE": str(fonts)}
    elif (found := shutil.which("chromium") or shutil.which("google-chrome")) is not None:
        program = Path(found)
    else:
        raise NotHere("chromedriver is on PATH, and chromium is not")
    options = ChromeOptions()
    options.binary_location = str(program)
    for one in (*_ARGUMENTS, f"--window-size={width},{height}", f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = Service(str(driver), env=os.environ | environment | {"HOME": str(folder)})
    browser = Chrome(options=options, service=service)
    try:
        yield browser
    finally:
        browser.quit()
