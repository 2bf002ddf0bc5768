"""One Chromium for all tests of the page, and for each test a page of its own."""

from collections.abc import Callable, Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.chromium import chromium
from tests.localmesh.debian import NotHere
from tests.unit.commands.page.samples import seen
from tests.unit.commands.page.serving import Served

SECONDS = 30


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    try:
        with chromium(tmp_path_factory.mktemp("chromium")) as found:
            yield found
    except NotHere as error:
        pytest.skip(str(error))


@pytest.fixture
def served() -> Iterator[Served]:
    """The page with the sample's mesh."""
    with Served() as found:
        found.show(seen())
        yield found


@pytest.fixture
def browser(started: Chrome, served: Served) -> Iterator[Chrome]:
    """The page, open, with the first state shown."""
    for kind in ("browser", "performance"):
        started.get_log(kind)
    started.get(served.url)
    WebDriverWait(started, SECONDS).until(lambda one: one.find_elements("css selector", "#overview tbody tr"))
    yield started
    started.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    started.get("about:blank")


@pytest.fixture
def until(started: Chrome) -> Callable[[Callable[[], object]], None]:
    """Waits until something is so on the page."""

    def wait(what: Callable[[], object]) -> None:
        WebDriverWait(started, SECONDS, poll_frequency=0.05).until(lambda _: what())

    return wait
