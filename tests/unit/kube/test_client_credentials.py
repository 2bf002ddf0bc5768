"""Streams, and credentials that are read again while the client is open."""

import asyncio
from collections import deque
from dataclasses import replace
from typing import Any

import pytest

from signer.kube.access.config import ConfigError, ConnectionConfig
from signer.kube.access.credentials import CREDENTIALS_AGE
from signer.kube.client import ApiClient, SilentConnection
from signer.kube.errors import NotSent, Unauthorized, Unreachable
from tests.fakes.apiserver import Cut, FakeApiServer, Hang, Reply, Watch, status
from tests.fakes.virtual_time import virtual_time
from tests.unit.kube.clients import Tokens, client_of, sent


class TestCredentials:
    @virtual_time
    async def test_refreshed_by_age(self) -> None:
        """The token's source is asked again once a minute, not for every request, and not by each of many at once."""
        async with FakeApiServer(others=[Reply() for _ in range(20)]) as server:
            tokens = Tokens(server)
            async with client_of(server, tokens.config()) as client:
                await client.request("GET", "/x")
                await client.request("GET", "/x")
                tokens.current = "Bearer 2"
                await asyncio.sleep(CREDENTIALS_AGE)
                await asyncio.gather(*(client.request("GET", "/x") for _ in range(5)))
                assert sent(server) == ["Bearer 1"] * 2 + ["Bearer 2"] * 5
                assert tokens.asked == 2

    @virtual_time
    async def test_kept_while_the_source_is_broken(self, caplog: pytest.LogCaptureFixture) -> None:
        """When the source fails the former token is used on, it may still be good; the failure is logged."""
        async with FakeApiServer(others=[Reply(), Reply()]) as server:
            tokens = Tokens(server)
            async with client_of(server, tokens.config()) as client:
                await client.request("GET", "/x")
                tokens.broken = True
                await asyncio.sleep(CREDENTIALS_AGE)
                await client.request("GET", "/x")
            assert sent(server) == ["Bearer 1", "Bearer 1"]
            assert "no token" in caplog.text

    @virtual_time
    async def test_reloaded_after_401(self) -> None:
        """After a 401 everything is read again and the request is sent once more; nobody hears of it."""
        codes: list[int | str] = []
        async with FakeApiServer(others=[status(401), Reply(body=b'{"a":1}')]) as server:
            tokens = Tokens(server)
            async with client_of(server, tokens.config(), on_error=codes.append) as client:
                tokens.current = "Bearer 2"
                answer = await client.request("PUT", "/x", body=b"body")
            assert answer.body == b'{"a":1}'
            assert sent(server) == ["Bearer 1", "Bearer 2"]
            assert [seen.body for seen in server.seen] == [b"body", b"body"]
            assert codes == []

    @virtual_time
    async def test_once_only(self) -> None:
        """A second 401 is the answer."""
        codes: list[int | str] = []
        async with FakeApiServer(others=[status(401), status(401)]) as server:
            tokens = Tokens(server)
            async with client_of(server, tokens.config(), on_error=codes.append) as client:
                tokens.current = "Bearer 2"
                with pytest.raises(Unauthorized):
                    await client.request("GET", "/x")
            assert (len(server.seen), codes) == (2, [401])

    @virtual_time
    async def test_many_at_once(self) -> None:
        """Many requests that meet a 401 together make one reload."""
        async with FakeApiServer(others=[status(401) for _ in range(5)] + [Reply() for _ in range(5)]) as server:
            tokens = Tokens(server)
            async with client_of(server, tokens.config()) as client:
                tokens.current = "Bearer 2"
                await asyncio.gather(*(client.request("GET", "/x") for _ in range(5)))
            assert tokens.reloads == 1

    @virtual_time
    async def test_refused_for_a_while(self, caplog: pytest.LogCaptureFixture) -> None:
        """Credentials that stay refused cost a request each five seconds, however many are made; then all go on at once."""
        caplog.set_level("INFO", logger="signer.kube.access.credentials")
        async with FakeApiServer(others=[status(401) for _ in range(500)]) as server:
            tokens = Tokens(server)
            codes: list[int | str] = []
            async with client_of(server, tokens.config(), on_error=codes.append) as client:
                tls = client._credentials.tls
                for _ in range(20):
                    for answer in await asyncio.gather(
                        *(client.request("GET", "/x") for _ in range(50)), return_exceptions=True
                    ):
                        assert isinstance(answer, Unauthorized)
                    await asyncio.sleep(1)
                assert "the same" in client.trouble
                assert 50 <= len(server.seen) == len(codes) <= 60
                assert tokens.reloads == len(server.seen) - 49
                assert client._credentials.tls is tls
                tokens.current = "Bearer 2"
                with pytest.raises(NotSent):
                    await client.request("GET", "/x")
                await asyncio.sleep(5)
                server.others = deque([status(401), *(Reply() for _ in range(51))])
                await client.request("GET", "/x")
                assert client.trouble == ""
                await asyncio.gather(*(client.request("GET", "/x") for _ in range(50)))
            assert sent(server)[-51:] == ["Bearer 2"] * 51
        lines = [record.getMessage() for record in caplog.records if "credentials" in record.getMessage()]
        assert lines == [
            "the API server refuses our credentials (401), and reading them again brought the same",
            "the API server takes our credentials again",
        ]

    @virtual_time
    async def test_the_same_after_all(self) -> None:
        """What was refused and is taken later, such as while the API server could not ask who we are, is used again."""
        async with FakeApiServer(others=[status(401), Reply(), Reply()]) as server:
            tokens = Tokens(server)
            async with client_of(server, tokens.config()) as client:
                with pytest.raises(Unauthorized):
                    await client.request("GET", "/x")
                with pytest.raises(NotSent):
                    await client.request("GET", "/x")
                await asyncio.sleep(1)
                await asyncio.gather(client.request("GET", "/x"), return_exceptions=True)
                await client.request("GET", "/x")
            assert len(server.seen) == 3

    @pytest.mark.parametrize("broken", [True, False])
    @virtual_time
    async def test_nothing_to_reload(self, *, broken: bool) -> None:
        """Without anything to read again, or when that fails, the 401 is the answer."""
        async with FakeApiServer(others=[status(401)]) as server:
            tokens = Tokens(server)
            config = tokens.config() if broken else replace(tokens.config(), reload=None)
            async with client_of(server, config) as client:
                tokens.broken = broken
                with pytest.raises(Unauthorized):
                    await client.request("GET", "/x")
            assert len(server.seen) == 1

    @virtual_time
    async def test_streams_too(self) -> None:
        """A watch that meets a 401 is opened again with new credentials, once."""
        async with FakeApiServer(watches=[status(401), Watch((b"a\n",)), status(401), status(401)]) as server:
            tokens = Tokens(server)
            async with client_of(server, tokens.config()) as client:
                tokens.current = "Bearer 2"
                async with client.stream("/w", query={"watch": True}) as chunks:
                    assert [chunk async for chunk in chunks] == [b"a\n"]
                tokens.current = "Bearer 3"
                with pytest.raises(Unauthorized):
                    async with client.stream("/w", query={"watch": True}):
                        pass
            assert sent(server) == ["Bearer 1", "Bearer 2", "Bearer 2", "Bearer 3"]

    async def test_unusable_from_the_start(self) -> None:
        """Credentials that cannot be read when the client is opened are an error then and there."""

        def broken() -> str | None:
            raise ConfigError("no token")

        with pytest.raises(ConfigError, match="no token"):
            async with ApiClient(ConnectionConfig(host="http://127.0.0.1:1", authorization=broken)):
                pass


class TestStream:
    @virtual_time
    async def test_chunks(self) -> None:
        """Chunks come as they are sent, until the server's proper end."""
        async with (
            FakeApiServer(watches=[Watch((b"one", 5.0, b"two"))]) as server,
            client_of(server) as client,
            client.stream("/w", query={"watch": True}, accept="application/x") as chunks,
        ):
            assert [chunk async for chunk in chunks] == [b"one", b"two"]
            assert server.seen[0].headers["Accept"] == "application/x"

    @virtual_time
    async def test_cut(self) -> None:
        """A stream that breaks is Unreachable, which is not an end."""
        codes: list[int | str] = []
        async with (
            FakeApiServer(watches=[Watch((b"one", 1.0, Cut))]) as server,
            client_of(server, on_error=codes.append) as client,
            client.stream("/w", query={"watch": True}) as chunks,
        ):
            assert await anext(chunks) == b"one"
            with pytest.raises(Unreachable):
                await anext(chunks)
            assert codes == ["unreachable"]

    @pytest.mark.parametrize("steps", [(Hang,), (b"one", Hang)])
    @virtual_time
    async def test_silence(self, steps: tuple[Any, ...]) -> None:
        """Silence longer than allowed is a SilentConnection; time with bytes in it does not count."""
        async with (
            FakeApiServer(watches=[Watch((8.0, b"zero", 8.0, *steps))]) as server,
            client_of(server) as client,
        ):
            start = asyncio.get_running_loop().time()
            async with client.stream("/w", query={"watch": True}, inactivity=10.0) as chunks:
                with pytest.raises(SilentConnection):
                    async for _ in chunks:
                        pass
            assert 18 <= asyncio.get_running_loop().time() - start < 28

    @virtual_time
    async def test_no_head(self) -> None:
        """A server that takes the request and never answers counts as silent."""
        async with FakeApiServer(watches=[Reply(wait=1000.0)]) as server, client_of(server) as client:
            with pytest.raises(SilentConnection):
                async with client.stream("/w", query={"watch": True}, inactivity=10.0):
                    pass

    @virtual_time
    async def test_left(self) -> None:
        """Leaving a stream closes its connection."""
        async with FakeApiServer() as server, client_of(server) as client:
            async with client.stream("/w", query={"watch": True}):
                assert server.open_watches == 1
            await asyncio.sleep(1)
            assert server.open_watches == 0
