"""ApiClient.exchange keeps the promises of ApiClient.request, on connections of its own."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from signer.kube.access.config import ConnectionConfig
from signer.kube.access.credentials import CREDENTIALS_AGE
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound, ServerError, TooManyRequests, Unauthorized, Unreachable
from signer.kube.objects import Response
from tests.fakes.apiserver import FakeApiServer, Reply, status
from tests.fakes.virtual_time import virtual_time
from tests.unit.kube.clients import Tokens, client_of, sent


async def put(client: ApiClient, path: str = "/x", **more: Any) -> Response:
    more = {"body": b"body", "content_type": "a/b", "accept": "c/d", "timeout": 10.0, **more}
    return await client.exchange("PUT", path, **more)


@virtual_time
async def test_bytes() -> None:
    """Body, content type and accept go out as given, below the host's own path; the answer comes back as sent."""
    async with FakeApiServer(others=[Reply(201, b"\x00\xffanswer", {"Content-Type": "e/f"})]) as server:
        config = replace(server.config, host=server.config.host + "/k8s/clusters/c1")
        async with client_of(server, config) as client:
            answer = await put(client, "/a%2Fb?x=y", body=b"\xff\x00body")
        assert (answer.status, answer.body, answer.headers["content-type"]) == (201, b"\x00\xffanswer", "e/f")
        (seen,) = server.seen
        assert (seen.method, seen.path, seen.query) == ("PUT", "/k8s/clusters/c1/a/b", {"x": "y"})
        assert seen.body == b"\xff\x00body"
        assert {name: seen.headers[name] for name in ("Content-Type", "Accept", "Accept-Encoding", "Host")} == {
            "Content-Type": "a/b",
            "Accept": "c/d",
            "Accept-Encoding": "identity",
            "Host": f"127.0.0.1:{server.port}",
        }
        assert seen.headers["User-Agent"].startswith("mesh-signer/")
        assert "Authorization" not in seen.headers


@virtual_time
async def test_refusals() -> None:
    """An answer of 400 or more is raised as its exception, once, is counted, and is not repeated."""
    replies = [
        status(409, "Conflict", "stale"),
        status(429, "Busy", headers={"Retry-After": "4"}),
        status(404),
        Reply(500, b"y" * 1_000_000),
    ]
    codes: list[int | str] = []
    async with FakeApiServer(others=replies) as server, client_of(server, on_error=codes.append) as client:
        with pytest.raises(Conflict, match="stale"):
            await put(client)
        with pytest.raises(TooManyRequests) as caught:
            await put(client)
        assert caught.value.retry_after == 4.0
        with pytest.raises(NotFound):
            await put(client)
        with pytest.raises(ServerError, match="500: yyy"):
            await put(client)
        assert len(server.seen) == 4
        assert codes == [409, 429, 404, 500]


@pytest.mark.parametrize("date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "\xff", "-1"])
@virtual_time
async def test_retry_after_that_is_none(date: str) -> None:
    """A Retry-After that cannot be read counts as none."""
    replies = [status(429, headers={"Retry-After": date})]
    async with FakeApiServer(others=replies) as server, client_of(server) as client:
        with pytest.raises(TooManyRequests) as caught:
            await put(client)
        assert caught.value.retry_after is None


@virtual_time
async def test_unreachable() -> None:
    """A redirect, silence, and an answer that is too large are Unreachable, name the request, are counted and not repeated."""
    replies = [Reply(302, b"", {"Location": "/elsewhere"}), Reply(wait=100.0), Reply(body=bytes(5_000_000))]
    codes: list[int | str] = []
    async with FakeApiServer(others=replies) as server, client_of(server, on_error=codes.append) as client:
        for message in ("unexpected redirect 302", "no answer in time", "larger than"):
            with pytest.raises(Unreachable, match=f"PUT /x: .*{message}"):
                await put(client)
        assert len(server.seen) == 3
        assert codes == ["unreachable"] * 3


@pytest.mark.parametrize("host", ["http://127.0.0.1:99999", "http://[::1", "http://", "http://a b:1"])
async def test_impossible_hosts(host: str) -> None:
    """A host that is none is Unreachable, as it is for `request`."""
    async with ApiClient(ConnectionConfig(host=host)) as client:
        with pytest.raises(Unreachable):
            await put(client)


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/\xe4", "x"])
@virtual_time
async def test_no_injection(path: str) -> None:
    """A path that would break the request's first line is not sent."""
    async with FakeApiServer() as server, client_of(server) as client:
        with pytest.raises(Unreachable):
            await put(client, path)
        assert server.seen == []


@virtual_time
async def test_reloaded_after_401() -> None:
    """After a 401 everything is read again and the request is sent once more, once only; nobody hears of the first."""
    codes: list[int | str] = []
    replies = [status(401), Reply(body=b"{}"), status(401), status(401)]
    async with FakeApiServer(others=replies) as server:
        tokens = Tokens(server)
        async with client_of(server, tokens.config(), on_error=codes.append) as client:
            tokens.current = "Bearer 2"
            assert (await put(client)).body == b"{}"
            assert (sent(server), codes) == (["Bearer 1", "Bearer 2"], [])
            tokens.current = "Bearer 3"
            with pytest.raises(Unauthorized):
                await put(client)
        assert [seen.body for seen in server.seen] == [b"body"] * 4
        assert (tokens.reloads, codes) == (2, [401])


@virtual_time
async def test_token_by_age() -> None:
    """A token that grew old is asked for again and used at once."""
    async with FakeApiServer(others=[Reply(), Reply()]) as server:
        tokens = Tokens(server)
        async with client_of(server, tokens.config()) as client:
            await put(client)
            tokens.current = "Bearer 2"
            await asyncio.sleep(CREDENTIALS_AGE)
            await put(client)
        assert sent(server) == ["Bearer 1", "Bearer 2"]


@virtual_time
async def test_new_credentials_new_connections() -> None:
    """After a reload nothing goes over the old connections; what waited for one is sent with the new credentials."""
    # The second one takes the connection over before the reload is done, and keeps it for a second.
    async with FakeApiServer(others=[status(401), Reply(wait=1.0)]) as old, FakeApiServer() as new:
        new.others.extend(Reply() for _ in range(4))
        tokens = Tokens(old)
        async with client_of(old, tokens.config(), connections=1) as client:
            tokens._server, tokens.current = new, "Bearer 2"
            await asyncio.gather(*(put(client, f"/{n}") for n in range(4)))
            await put(client, "/last")
        assert [seen.path for seen in old.seen] == ["/0", "/1"]
        assert sorted(seen.path for seen in new.seen) == ["/0", "/2", "/3", "/last"]
        assert sent(new) == ["Bearer 2"] * 4


@virtual_time
async def test_many_at_once() -> None:
    """Many requests that meet a 401 together make one reload."""
    replies = [status(401) for _ in range(5)] + [Reply() for _ in range(5)]
    async with FakeApiServer(others=replies) as server:
        tokens = Tokens(server)
        async with client_of(server, tokens.config()) as client:
            tokens.current = "Bearer 2"
            await asyncio.gather(*(put(client) for _ in range(5)))
        assert tokens.reloads == 1


@virtual_time
async def test_through_a_proxy() -> None:
    """With a proxy the request goes through it, as all others do."""
    async with FakeApiServer(others=[Reply(body=b"{}")]) as proxy:
        config = ConnectionConfig(host="http://cluster.invalid", proxy=proxy.config.host)
        async with client_of(proxy, config) as client:
            assert (await put(client)).body == b"{}"
        assert proxy.seen[0].headers["Host"] == "cluster.invalid"


async def test_closed() -> None:
    """A client that is not open says so, and one that closes ends what is under way."""
    async with FakeApiServer(others=[Reply(wait=100.0)]) as server:
        client = ApiClient(server.config)
        with pytest.raises(RuntimeError, match="not open"):
            await put(client)
        async with client:
            sending = asyncio.create_task(put(client))
            while not server.seen:  # noqa: ASYNC110 - the fake has no event for it
                await asyncio.sleep(0.001)
        with pytest.raises(Unreachable):
            await sending


def test_errors_of_credentials_are_not_hidden() -> None:
    """The token that cannot stand in a header is not quoted in the error."""

    async def run() -> str:
        async with FakeApiServer() as server:
            config = replace(server.config, authorization=lambda: "Bearer se\ncret")
            async with ApiClient(config) as client:
                with pytest.raises(Unreachable) as caught:
                    await put(client)
                assert server.seen == []
                return str(caught.value)

    assert "cret" not in asyncio.run(run())
