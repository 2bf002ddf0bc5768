"""The DNS servers that an operator names are asked, and nobody else: here pebble-challtestsrv's."""

from collections.abc import Iterator

import pytest

from signer.edge.proxies.resolve import asking, system_resolver
from tests.localmesh.pebble import ChallengeServer
from tests.localmesh.processes import free_port

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChallengeServer]:
    """A DNS server in which no name has an address of itself."""
    started = ChallengeServer(tmp_path_factory.mktemp("names"), http=False)
    started.start()
    started.set_default_address("")
    yield started
    started.stop()


def address(names: ChallengeServer) -> tuple[str, int]:
    host, _, port = names.dns.rpartition(":")
    return host, int(port)


async def test_what_it_says(names: ChallengeServer) -> None:
    """All addresses of a host, and those of the name that it is an alias of; a host without one, and a failure, have none."""
    resolve = asking((address(names),))
    names.set_addresses("shop.example.com", "192.0.2.1", "192.0.2.2")
    names.set_cname("www.example.com", "shop.example.com")
    names.set_servfail("broken.example.com")
    assert set(await resolve("shop.example.com") or ()) == {"192.0.2.1", "192.0.2.2"}
    assert await resolve("none.example.com") == ()
    assert await resolve("broken.example.com") == ()
    names.set_addresses("none.example.com", "192.0.2.3")
    assert await resolve("none.example.com") == ("192.0.2.3",), "an answer must not be remembered"


async def test_the_next_one(names: ChallengeServer) -> None:
    """Where the first server does not answer, the next is asked."""
    silent = ("127.0.0.1", free_port())
    names.set_addresses("next.example.com", "192.0.2.4")
    assert await asking((silent, address(names)))("next.example.com") == ("192.0.2.4",)


def test_nobody_named() -> None:
    """Without any, the system is asked."""
    assert asking(()) is system_resolver
