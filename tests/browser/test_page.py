"""The page of `mesh-signer ui` in a real browser: what it loads, shows and says, and that it can be used without a mouse."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.keys import Keys

from signer.commands.live import Listing
from tests.unit.commands.page.samples import certificate, cluster, condition, crossing, csr, seen, warned
from tests.unit.commands.page.serving import Served

Until = Callable[[Callable[[], object]], None]
TABS = ("overview", "trust", "signers", "waits", "edge")
EVIL = "<img src=x onerror='window.stolen=1'><script>window.stolen=1</script>"
APPROVED = condition("Approved", "True")


def all_of(browser: Chrome, selector: str) -> list[Any]:
    found: list[Any] = browser.find_elements("css selector", selector)
    return found


def text(browser: Chrome, selector: str) -> str:
    found = browser.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", selector)
    return str(found)


def press(browser: Chrome, *keys: str) -> None:
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def focused(browser: Chrome, what: str = "id") -> str:
    return str(browser.execute_script("return document.activeElement.getAttribute(arguments[0]) ?? ''", what))


def style(browser: Chrome, selector: str, name: str) -> str:
    script = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
    return str(browser.execute_script(script, selector, name))


def requests(browser: Chrome) -> Iterator[str]:
    """What was asked for; not by the browser's own first page, which is still on its way when it is replaced."""
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked = message["params"]
            if not asked["documentURL"].startswith("chrome"):
                yield asked["request"]["url"]


def complaints(browser: Chrome) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


class TestLoading:
    """What the browser fetches."""

    def test_nothing_from_elsewhere(self, browser: Chrome, served: Served) -> None:
        """The page loads its own files and its state, nothing else, and the browser's console stays empty."""
        for name in TABS:
            browser.find_element("id", f"tab-{name}").click()
        asked = set(requests(browser))
        assert f"http://127.0.0.1:{served.port}/state" in asked
        assert [one for one in asked if not one.startswith(f"http://127.0.0.1:{served.port}/")] == []
        assert complaints(browser) == []

    def test_the_token_leaves_the_address(self, browser: Chrome, served: Served, until: Until) -> None:
        """Once it is read, the token stands in no address, and a reload still has it."""
        assert browser.current_url == f"http://127.0.0.1:{served.port}/#view=overview"
        browser.refresh()
        until(lambda: all_of(browser, "#overview tbody tr"))

    def test_without_the_token(self, browser: Chrome, served: Served, until: Until) -> None:
        """Whoever opens the page with a wrong token sees how to get the right one, and nothing of the mesh."""
        browser.get("about:blank")
        browser.get(f"http://127.0.0.1:{served.port}/#token=guessed")
        until(lambda: "Open the URL" in text(browser, "#away"))
        assert all_of(browser, "tbody tr") == []

    def test_no_markup_of_a_text(self, browser: Chrome) -> None:
        """The browser itself refuses what would make markup of a text: the policy is in force."""
        script = "try { document.body.innerHTML = '<b>x</b>'; return 'done' } catch (error) { return error.name }"
        assert browser.execute_script(script) == "TypeError"
        assert all_of(browser, "b") == []
        browser.get_log("browser")


class TestWhatIsShown:
    """Every part of the page."""

    def test_each_view(self, browser: Chrome, served: Served, until: Until) -> None:
        """Each view has its tables, with the mesh's own words."""
        served.show(seen(requests=[csr("r", APPROVED, condition("Failed", "True", "TenantMismatch", "no grant"))]))
        until(lambda: "TenantMismatch" in text(browser, "#waits"))
        assert "SignerBinding foo" in text(browser, "#trust")
        assert "mesh-signer explain r" in text(browser, "#waits")
        assert "CN=foo" in text(browser, "#signers")
        assert "No Gateway or Ingress" in text(browser, "#edge")
        rows = browser.execute_script("return document.querySelectorAll('[data-table=line] tbody tr').length")
        assert rows == 5

    def test_picture(self, browser: Chrome) -> None:
        """The picture has every tenant, a refused claim as a line of its own kind, and the shared root in words."""
        words = text(browser, "#picture")
        for name in ("foo", "bar", "thief", "ClusterIssuer one", "CN=istio-system"):
            assert name in words
        assert "! shared: CN=one" in words
        assert "✗ SignerClaimed" in words
        assert len(all_of(browser, "#picture path.refused")) == 1

    def test_bridges(self, browser: Chrome, served: Served, until: Until) -> None:
        """A bridge is a dotted line from its client to the server's signer, in words too; one that does not stand is refused."""
        here = seen()
        listed = Listing((crossing("True", "Built"), crossing("False", "Ended", "bar")))
        served.show(replace(here, facts=replace(here.facts, bridges=listed)))
        until(lambda: "istio-system/gateway" in text(browser, "#picture"))
        assert len(all_of(browser, "#picture path.bridge")) == 1
        assert "✗ Ended: bridge to" in text(browser, "#picture")
        names = [one.get_attribute("aria-label") for one in all_of(browser, "#picture g")]
        lines = "signer ClusterIssuer bar (Ended: bridge to bar), signer ClusterIssuer foo (bridge to foo)"
        assert f"Tenant istio-system/gateway: {lines}" in names
        rows = [one.get_attribute("textContent") for one in all_of(browser, "[data-table=bridges] tbody tr")]
        assert ["✓ open" in row for row in rows] == [False, True]

    def test_hostile_names(self, browser: Chrome, served: Served, until: Until) -> None:
        """What tenants write is shown as they wrote it, and is never more than text."""
        pending = condition("Ready", "False", EVIL, EVIL)
        served.show(
            seen(
                cluster(claims={"foo": EVIL}),
                requests=[csr(EVIL)],
                certificates=[certificate(EVIL, pending, namespace=EVIL)],
                events=[warned(EVIL, reason=EVIL, message=EVIL)],
            )
        )
        until(lambda: EVIL in text(browser, "#waits"))
        assert text(browser, "#waits").count("<img src=x") > 4
        assert browser.execute_script("return window.stolen") is None
        assert all_of(browser, "main img, main script, main a") == []
        assert complaints(browser) == []

    def test_what_may_not_be_read(self, browser: Chrome, served: Served, until: Until) -> None:
        """A missing right stands on the page as one, where its rows would be."""
        served.show(seen(events_problem="events may not be read (verb list): no"))
        until(lambda: "events may not be read" in text(browser, "#overview"))
        assert "events may not be read" in text(browser, "#waits .problem")

    def test_filter(self, browser: Chrome) -> None:
        """The filter leaves the rows that have its text, in every table."""
        browser.find_element("id", "tab-trust").click()
        browser.find_element("id", "filter").send_keys("THIEF")
        shown = [one.text for one in all_of(browser, "[data-table=tenants] tbody tr") if one.is_displayed()]
        assert len(shown) == 1
        assert shown[0].startswith("thief")


class TestLive:
    """The page follows the cluster."""

    def test_change(self, browser: Chrome, served: Served, until: Until) -> None:
        """What is new appears by itself, is marked, and is said to screen readers; what has focus keeps it."""
        browser.find_element("id", "tab-waits").click()
        assert "Refused and waiting" not in text(browser, "#news")
        served.show(seen(requests=[csr("r", APPROVED)]))
        until(lambda: "CertificateSigningRequest r" in text(browser, "#waits"))
        assert "CertificateSigningRequest r" in text(browser, "#waits tr.fresh")
        assert "Refused and waiting: 2, 1 new" in text(browser, "#news")
        assert focused(browser) == "tab-waits"
        served.show(seen())
        until(lambda: "CertificateSigningRequest r" not in text(browser, "#waits"))

    def test_away_and_back(self, browser: Chrome, served: Served, until: Until) -> None:
        """An API server that is away is told in an alert, above what was read before; when it is back the alert goes."""
        served.miss("no answer from the API server https://127.0.0.1:6443")
        until(lambda: browser.find_element("id", "away").is_displayed())
        assert "no answer from the API server" in text(browser, "#away")
        assert "was read before" in text(browser, "#away")
        assert all_of(browser, "#overview tbody tr")
        served.show(seen())
        until(lambda: not browser.find_element("id", "away").is_displayed())

    def test_the_command_ended(self, browser: Chrome, served: Served, until: Until) -> None:
        """When the command has ended, the page says what to do."""
        served.stop()
        until(lambda: "start it again" in text(browser, "#away"))
        browser.get_log("browser")


class TestKeyboard:
    """The page without a mouse."""

    def test_walk(self, browser: Chrome) -> None:
        """Tab leads from the link that skips to the filter, the tabs as one stop, and each table; each shows its focus."""
        stops = []
        for _ in range(6):
            press(browser, Keys.TAB)
            stops.append(focused(browser) or focused(browser, "class"))
            outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid"
        assert stops == ["skip", "filter", "tab-overview", "scroll", "scroll", "scroll"]

    def test_tabs(self, browser: Chrome) -> None:
        """Arrows, Home and End go from tab to tab, and the view follows; one view is shown at a time."""
        press(browser, Keys.TAB, Keys.TAB, Keys.TAB)
        assert focused(browser) == "tab-overview"
        for key, name in [
            *((Keys.ARROW_RIGHT, name) for name in (*TABS[1:], TABS[0])),
            (Keys.ARROW_LEFT, "edge"),
            (Keys.HOME, "overview"),
            (Keys.END, "edge"),
        ]:
            press(browser, key)
            assert focused(browser) == f"tab-{name}"
            assert [one for one in TABS if browser.find_element("id", one).is_displayed()] == [name]
            selected = all_of(browser, '[role="tab"][aria-selected="true"]')
            assert [one.get_attribute("id") for one in selected] == [f"tab-{name}"]

    def test_picture(self, browser: Chrome) -> None:
        """In the picture the arrows go up and down, and along the lines; each node says what it is tied to."""
        browser.find_element("id", "tab-trust").click()
        press(browser, Keys.TAB)
        assert focused(browser, "aria-label") == "Tenant bar: signer ClusterIssuer bar (granted)"
        press(browser, Keys.ARROW_RIGHT)
        assert focused(browser, "aria-label").startswith("Signer ClusterIssuer bar")
        press(browser, Keys.ARROW_RIGHT)
        assert focused(browser, "aria-label").startswith("Root CN=bar: signer ClusterIssuer bar")
        assert len(all_of(browser, "#picture g.lit")) == 4  # the root, the signer, and its two tenants
        press(browser, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
        assert "shared by tenants who so trust each other" in focused(browser, "aria-label")
        press(browser, Keys.ARROW_DOWN)
        assert "shared" in focused(browser, "aria-label"), "the last one stays"
        press(browser, Keys.TAB)
        assert focused(browser, "class") == "scroll", "the picture is one stop of the Tab key"

    def test_picture_keeps_focus(self, browser: Chrome, served: Served, until: Until) -> None:
        """A change of the picture does not take the focus away."""
        browser.find_element("id", "tab-trust").click()
        press(browser, Keys.TAB, Keys.ARROW_DOWN)
        assert focused(browser, "data-id") == "tenant-1"
        served.show(seen(cluster(claims={"newcomer": "bar"})))
        until(lambda: "newcomer" in text(browser, "#picture"))
        assert focused(browser, "data-id") == "tenant-1"

    def test_names(self, browser: Chrome) -> None:
        """Landmarks, tabs, views and tables have names, and tables have heads: a screen reader tells them apart."""
        assert [one.aria_role for one in all_of(browser, "header, nav, main")] == ["banner", "navigation", "main"]
        for name in TABS:
            browser.find_element("id", f"tab-{name}").click()
            panel = browser.find_element("id", name)
            assert (panel.aria_role, panel.accessible_name) == (
                "tabpanel",
                browser.find_element("id", f"tab-{name}").text,
            )
            for table in all_of(browser, f"#{name} table"):
                assert table.accessible_name
                assert table.find_elements("css selector", "thead th[scope=col]")
                assert table.find_elements("css selector", "tbody th[scope=row]")


def luminance(colour: str) -> float:
    """Of a colour as a browser computes it (WCAG 2.2, relative luminance)."""
    parts = [int(one) / 255 for one in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


class TestAppearance:
    """Colours and motion as the reader has them."""

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_contrast(self, browser: Chrome, served: Served, until: Until, scheme: str) -> None:
        """On a light and on a dark page every kind of text can be read (WCAG 2.2, 1.4.3), and each state is a word."""
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        served.show(seen(requests=[csr("r", APPROVED)], events_problem="no"))
        until(lambda: all_of(browser, ".problem"))
        paper = style(browser, "body", "background-color")
        assert (luminance(paper) > 0.5) == (scheme == "light")
        for selector in ("td", "td .good", "td .bad", "td .warn", ".problem", "header p", ".none", '[role="tab"]'):
            assert contrast(style(browser, selector, "color"), paper) >= 4.5, selector
        assert contrast(style(browser, "thead th", "color"), style(browser, "thead th", "background-color")) >= 4.5
        for one in all_of(browser, "td .good, td .bad, td .warn"):
            assert re.search(r"\w", str(one.get_attribute("textContent")))

    def test_reduced_motion(self, browser: Chrome, served: Served, until: Until) -> None:
        """Who wants no motion gets none; what is new is marked all the same."""
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
        )
        browser.find_element("id", "tab-waits").click()
        served.show(seen(requests=[csr("r", APPROVED)]))
        until(lambda: all_of(browser, "tr.fresh"))
        assert style(browser, "tr.fresh th", "transition-duration") == "0s"

    def test_narrow(self, browser: Chrome) -> None:
        """On a narrow screen tables scroll in themselves, and the page does not."""
        size = browser.get_window_size()
        browser.set_window_size(500, 800)
        try:
            for name in TABS:
                browser.find_element("id", f"tab-{name}").click()
                wide = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, name
        finally:
            browser.set_window_size(size["width"], size["height"])
