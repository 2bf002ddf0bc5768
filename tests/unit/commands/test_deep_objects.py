"""What commands say of an object that is nested deeper than any reader goes."""

import json

import pytest

from signer.commands import live
from signer.commands.live import list_all
from signer.kube.encoding.depth import TOO_DEEP
from tests.fakes.apiserver import FakeApiServer, Reply, thing
from tests.fakes.following import THINGS
from tests.fakes.virtual_time import virtual_time
from tests.unit.kube.clients import client_of


@virtual_time
async def test_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A list for people has the others, and says on stderr which one it has not, once however often it looks."""
    deep = json.dumps(thing("deep", value="@")).replace('"@"', '{"a":' * 9_999 + "1" + "}" * 9_999)
    body = json.dumps({"metadata": {}, "items": [thing("a"), "@"]}).replace('"@"', deep).encode()
    live._say_once.cache_clear()
    async with FakeApiServer(lists=[Reply(body=body)] * 2) as server, client_of(server) as client:
        found = await list_all(client, THINGS)
        assert await list_all(client, THINGS) == found
    assert [one["metadata"]["name"] for one in found.items] == ["a"]
    assert found.problem == ""
    assert found.unreadable == (f"Thing ns/deep cannot be read: {TOO_DEEP}",)
    assert capsys.readouterr().err == f"mesh-signer: {found.unreadable[0]}\n"
