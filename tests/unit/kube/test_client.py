"""One request, one answer or one error: retries, limits, objects as dicts."""

import asyncio
import json
from dataclasses import replace

import pytest

from signer.kube.access.config import ConnectionConfig
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import Problem
from signer.kube.encoding.depth import TOO_DEEP
from signer.kube.errors import Conflict, NotFound, TooManyRequests, TooMuch, Unreachable
from signer.kube.objects import LISTED
from tests.fakes.apiserver import FakeApiServer, Reply, page, status, thing
from tests.fakes.following import THINGS
from tests.fakes.virtual_time import virtual_time
from tests.unit.kube.clients import client_of


class TestRequest:
    @virtual_time
    async def test_bytes(self) -> None:
        """Body, content type, accept and query go out as given; status, headers and body come back as sent."""
        async with (
            FakeApiServer(others=[Reply(201, b"\x00\xffanswer", {"Retry-After": "1"})]) as server,
            client_of(server) as client,
        ):
            answer = await client.request(
                "PUT",
                "/a%2Fb",
                query={"fieldManager": "x y&z", "force": True, "dry": False, "n": 3},
                body=b"\xff\x00body",
                content_type="application/vnd.kubernetes.protobuf",
                accept="application/thing",
            )
            assert (answer.status, answer.body, answer.headers["retry-after"]) == (201, b"\x00\xffanswer", "1")
            (seen,) = server.seen
            assert (seen.method, seen.path, seen.body) == ("PUT", "/a/b", b"\xff\x00body")
            assert seen.query == {"fieldManager": "x y&z", "force": "true", "dry": "false", "n": "3"}
            assert seen.headers["Content-Type"] == "application/vnd.kubernetes.protobuf"
            assert seen.headers["Accept"] == "application/thing"
            assert seen.headers["User-Agent"].startswith("mesh-signer/")
            assert "gzip" not in seen.headers.get("Accept-Encoding", "")
            assert "Authorization" not in seen.headers

    @virtual_time
    async def test_path_below_the_host(self) -> None:
        """A server URL with a path of its own (a proxy's) keeps it."""
        async with FakeApiServer(others=[Reply()]) as server:
            config = replace(server.config, host=server.config.host + "/k8s/clusters/c1")
            async with client_of(server, config) as client:
                await client.request("GET", "/api/v1/pods")
            assert server.seen[0].path == "/k8s/clusters/c1/api/v1/pods"

    @virtual_time
    async def test_refusals(self) -> None:
        """An answer of 400 or more is raised as its exception, once, is counted, and is not repeated."""
        codes: list[int | str] = []
        async with (
            FakeApiServer(
                others=[
                    status(409, "Conflict", "stale"),
                    status(429, "Busy", headers={"Retry-After": "4"}),
                    status(404),
                ]
            ) as server,
            client_of(server, on_error=codes.append) as client,
        ):
            with pytest.raises(Conflict, match="stale"):
                await client.request("PUT", "/x", body=b"{}")
            with pytest.raises(TooManyRequests) as caught:
                await client.request("GET", "/x")
            assert caught.value.retry_after == 4.0
            with pytest.raises(NotFound):
                await client.request("GET", "/x")
            assert len(server.seen) == 3
            assert codes == [409, 429, 404]

    @virtual_time
    async def test_how_long_it_took(self) -> None:
        """Each request's time is told once, with its method, whether it was answered, refused or given up."""
        took: list[tuple[str, float]] = []
        replies = [Reply(wait=2.0), status(409), Reply(wait=100.0), Reply(wait=3.0)]
        async with (
            FakeApiServer(others=replies) as server,
            client_of(server, on_took=lambda method, seconds: took.append((method, seconds))) as client,
        ):
            await client.request("GET", "/x")
            with pytest.raises(Conflict):
                await client.request("POST", "/x", body=b"{}")
            with pytest.raises(Unreachable):
                await client.request("PATCH", "/x", body=b"{}", timeout=10.0)
            await client.exchange(
                "PUT", "/x", body=b"{}", content_type="application/json", accept="application/json", timeout=10.0
            )
        assert [(method, round(seconds)) for method, seconds in took] == [
            ("GET", 2),
            ("POST", 0),
            ("PATCH", 10),
            ("PUT", 3),
        ]

    @virtual_time
    async def test_redirects_are_not_followed(self) -> None:
        """A redirect is not followed: our token goes to the API server only."""
        async with (
            FakeApiServer(others=[Reply(302, b"", {"Location": "/elsewhere"})]) as server,
            client_of(server) as client,
        ):
            with pytest.raises(Unreachable, match="302"):
                await client.request("GET", "/x")
            assert len(server.seen) == 1

    @virtual_time
    async def test_timeout(self) -> None:
        """A request without an answer in time is Unreachable, counted, and not repeated."""
        codes: list[int | str] = []
        async with (
            FakeApiServer(others=[Reply(wait=100.0)]) as server,
            client_of(server, on_error=codes.append) as client,
        ):
            start = asyncio.get_running_loop().time()
            with pytest.raises(Unreachable, match="PUT /x"):
                await client.request("PUT", "/x", body=b"{}", timeout=10.0)
            assert asyncio.get_running_loop().time() - start < 11
            assert codes == ["unreachable"]
            assert len(server.seen) == 1

    async def test_nobody_there(self) -> None:
        """A port where nobody listens is Unreachable."""
        async with FakeApiServer() as server:
            config = server.config
        async with ApiClient(config) as client:
            with pytest.raises(Unreachable):
                await client.request("GET", "/x")

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
            b"HTTP/1.1 409 Conflict\r\nContent-Length: 100\r\n\r\nhalf",
        ],
        ids=["nothing", "no http", "half a body", "half a chunk", "bad length", "huge header", "half a refusal"],
    )
    async def test_half_an_answer(self, answer: bytes) -> None:
        """Half an answer, or none, is Unreachable, and the request is not sent a second time on another connection."""
        requests = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal requests
            while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /warm"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            requests += 1
            await reader.readexactly(4)
            writer.write(answer)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, ApiClient(ConnectionConfig(host=f"http://127.0.0.1:{port}")) as client:
            await client.request("GET", "/warm")
            with pytest.raises(Unreachable):
                await client.request("PUT", "/x", body=b"body")
        assert requests == 1

    @virtual_time
    async def test_large_answers(self) -> None:
        """An answer beyond the limit is refused, with and without a length; a refusal's body is cut instead."""
        large = b"x" * 5000
        async with FakeApiServer(others=[Reply(body=large), Reply(body=large)]) as server, client_of(server) as client:
            assert (await client.request("GET", "/x", largest=5000)).body == large
            with pytest.raises(Unreachable, match="larger than 4999"):
                await client.request("GET", "/x", largest=4999)
            server.others.append(Reply(500, b"y" * 1_000_000))
            with pytest.raises(Exception, match="500: yyy"):
                await client.request("GET", "/x")

    @virtual_time
    async def test_connections_are_kept_and_limited(self) -> None:
        """Connections are used again, and there are never more than allowed; watches do not take theirs."""
        async with (
            FakeApiServer(others=[Reply(wait=1.0) for _ in range(12)]) as server,
            client_of(server, connections=3) as client,
            client.stream("/w", query={"watch": True}),
        ):
            await asyncio.gather(*(client.request("GET", f"/{n}") for n in range(12)))
            times = [seen.at for seen in server.seen if seen.path != "/w"]
            assert [round(at - times[0]) for at in times] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]

    async def test_closed(self) -> None:
        """A client that is not open says so."""
        client = ApiClient(ConnectionConfig(host="http://127.0.0.1:1"))
        with pytest.raises(RuntimeError, match="not open"):
            await client.request("GET", "/x")


class TestObjects:
    @virtual_time
    async def test_list(self) -> None:
        """All pages are read, and items get the apiVersion and kind that lists leave out."""
        async with (
            FakeApiServer(lists=[page(thing("a"), token="t"), page(thing("b"))]) as server,
            client_of(server) as client,
        ):
            items = await client.list(THINGS, "ns", "x=y", page_size=1)
            assert [item["metadata"]["name"] for item in items] == ["a", "b"]
            assert {(item["apiVersion"], item["kind"]) for item in items} == {("example.dev/v1", "Thing")}
            first, second = server.seen
            assert first.path == "/apis/example.dev/v1/namespaces/ns/things"
            assert first.query == {"limit": "1", "labelSelector": "x=y"}
            assert second.query == {**first.query, "continue": "t"}

    @virtual_time
    async def test_lists_are_bounded(self) -> None:
        """Of a namespace's objects as many are read as have room, of the others the name.

        A person who asks for the whole of them has it.
        """
        large = [thing(f"l{n}", value="x" * 250_000) for n in range(36)]
        huge, small = thing("huge", value="x" * 300_000), thing("small", value="x")
        bodies = [*large, huge, small]
        lists = [page(one, token="t") for one in bodies] + [page()]
        async with FakeApiServer(lists=lists * 2) as server, client_of(server) as client:
            items = await client.list(THINGS, "ns")
            read = [one["metadata"]["name"] for one in items if "value" in one]
            assert read == [*(f"l{n}" for n in range(LISTED // 251_000)), "small"]
            assert [one["metadata"]["name"] for one in items] == [one["metadata"]["name"] for one in bodies]
            assert all(set(one) == {"metadata", "apiVersion", "kind"} for one in items if "value" not in one)
            assert all("value" in one for one in await client.list(THINGS, "ns", whole=print))

    @virtual_time
    async def test_nested_without_end(self) -> None:
        """What is nested deeper than any reader goes is named: left out of lists for people, elsewhere its name is given."""
        deep = json.dumps(thing("deep", value="@")).replace('"@"', "[" * 9_999 + "]" * 9_999).encode()
        body = json.dumps({"metadata": {}, "items": [thing("a"), "@", thing("b")]}).encode().replace(b'"@"', deep)
        told: list[Problem] = []
        replies = [Reply(body=body)] * 2 + [Reply(body=deep)] * 2
        async with FakeApiServer(lists=replies) as server, client_of(server) as client:
            items = await client.list(THINGS, "ns")
            assert [(one["metadata"]["name"], "value" in one) for one in items] == [
                ("a", True),
                ("deep", False),
                ("b", True),
            ]
            items = await client.list(THINGS, "ns", whole=told.append)
            assert [one["metadata"]["name"] for one in items] == ["a", "b"]
            assert told == [Problem(("ns", "deep"), TOO_DEEP)]
            with pytest.raises(TooMuch, match="Thing ns/deep cannot be read: it is nested"):
                await client.get(THINGS, "deep", "ns")
            written = await client.patch(THINGS, "deep", {"x": 1}, namespace="ns")
            assert written["metadata"]["name"] == "deep"

    @virtual_time
    async def test_writes(self) -> None:
        """Create, replace, patch and delete send what the API asks for."""
        answer = Reply(body=b'{"kind":"Thing"}')
        async with FakeApiServer(others=[answer] * 8) as server, client_of(server) as client:
            assert await client.create(THINGS, thing("a")) == {"kind": "Thing"}
            await client.create(THINGS, {"metadata": {"name": "b"}}, "elsewhere")
            await client.replace(THINGS, thing("a"), "status")
            await client.patch(THINGS, "a", {"x": None}, namespace="ns", subresource="status")
            await client.patch(THINGS, "a", [{"op": "test"}], namespace="ns", kind="json")
            await client.patch(THINGS, "a", {}, namespace="ns", kind="apply", field_manager="us", force=True)
            await client.delete(THINGS, "a", "ns", uid="u", resource_version="7", propagation="Background")
            await client.delete(THINGS, "a", "ns")
            base = "/apis/example.dev/v1/namespaces/ns/things"
            assert [(seen.method, seen.path) for seen in server.seen] == [
                ("POST", base),
                ("POST", base.replace("/ns/", "/elsewhere/")),
                ("PUT", base + "/a/status"),
                ("PATCH", base + "/a/status"),
                ("PATCH", base + "/a"),
                ("PATCH", base + "/a"),
                ("DELETE", base + "/a"),
                ("DELETE", base + "/a"),
            ]
            bodies = [json.loads(seen.body) for seen in server.seen]
            assert bodies[0] == {"apiVersion": "example.dev/v1", "kind": "Thing", **thing("a")}
            assert bodies[3:6] == [{"x": None}, [{"op": "test"}], {}]
            assert bodies[6]["preconditions"] == {"uid": "u", "resourceVersion": "7"}
            assert bodies[6]["propagationPolicy"] == "Background"
            assert "preconditions" not in bodies[7]
            kinds = [seen.headers["Content-Type"] for seen in server.seen[3:6]]
            assert kinds == [
                "application/merge-patch+json",
                "application/json-patch+json",
                "application/apply-patch+yaml",
            ]
            assert server.seen[5].query == {"fieldManager": "us", "force": "true"}

    @pytest.mark.parametrize("body", [b"", b"[]", b"7", b"<html>"])
    @virtual_time
    async def test_no_object(self, body: bytes) -> None:
        """An answer that is not a JSON object is half an answer."""
        async with FakeApiServer(others=[Reply(body=body)]) as server, client_of(server) as client:
            with pytest.raises(Unreachable):
                await client.get(THINGS, "a", "ns")
