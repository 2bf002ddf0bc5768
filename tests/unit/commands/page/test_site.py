"""The page's server on a real port: who gets what, and who gets nothing."""

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.commands.page import site
from signer.commands.page.board import Board
from signer.commands.page.site import Site
from signer.observe.listener import MAX_HEAD, Listener
from tests.unit.commands.page.serving import TOKEN, Served

GOOD = {"Authorization": f"Bearer {TOKEN}"}
FILES = sorted(path.name for path in (Path(site.__file__).parent / "assets").iterdir())


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served() as found:
        yield found


def test_state(served: Served) -> None:
    """Whoever has the token gets the state; before the cluster was read there is none, and that is said."""
    answer = served.ask(headers=GOOD)
    assert (answer.status, json.loads(answer.body)) == (200, {"away": "", "view": None})
    assert answer.headers["content-type"] == "application/json"


def test_nothing_new(served: Served) -> None:
    """Who has the state already is told that it is the same, in a few bytes."""
    tag = served.ask(headers=GOOD).headers["etag"]
    answer = served.ask(headers=GOOD | {"If-None-Match": tag})
    assert (answer.status, answer.body) == (304, b"")
    assert served.ask(headers=GOOD | {"If-None-Match": '"another"'}).status == 200


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        f"bearer{TOKEN}",
        "Bearer \xff",
    ],
)
def test_token(served: Served, given: str) -> None:
    """Without the token, or with another one, there is no state, and no word of why."""
    answer = served.ask(headers={"Authorization": given})
    assert answer.status == 401
    assert answer.body == b"Open the URL that mesh-signer ui printed.\n"
    assert TOKEN.encode() not in answer.body


def test_no_token_in_the_address(served: Served) -> None:
    """A token in the path or the query counts for nothing: addresses are logged and handed on."""
    assert served.ask(f"/state?token={TOKEN}").status == 401
    assert served.ask(f"/{TOKEN}/state").status == 404


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example:80",
        "127.0.0.2",
        "[::1]",
        "",
        "localhost:x",
        "127.0.0.1:80:80",
        "a@127.0.0.1",
    ],
)
@pytest.mark.parametrize("path", ["/", "/state", "/main.js"])
def test_host(served: Served, host: str, path: str) -> None:
    """A page of elsewhere whose name leads to this port (DNS rebinding) gets nothing, not even the page."""
    assert served.ask(path, GOOD | {"Host": host}).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "127.0.0.1:1"])
def test_hosts_of_loopback(served: Served, host: str) -> None:
    """Through a tunnel the port may be another one."""
    assert served.ask("/", {"Host": host}).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_methods(served: Served, method: str) -> None:
    """There is only GET, so that nothing can be asked to be done, and no preflight is answered."""
    answer = served.ask("/state", GOOD, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/state", "/main.js"])
def test_other_pages(served: Served, headers: dict[str, str], path: str) -> None:
    """What another page of the browser asked for is refused, with the token too."""
    assert served.ask(path, GOOD | headers).status == 403


def test_a_link(served: Served) -> None:
    """A link to the page may stand anywhere; in a frame, or as a script, it may not be had."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert served.ask("/", link).status == 200
    assert served.ask("/", link | {"Sec-Fetch-Dest": "iframe"}).status == 403
    assert served.ask("/", link | {"Sec-Fetch-Mode": "no-cors"}).status == 403


def test_the_page_itself(served: Served) -> None:
    """What the page asks for is answered."""
    own = {"Origin": f"http://127.0.0.1:{served.port}", "Sec-Fetch-Site": "same-origin"}
    assert served.ask("/state", GOOD | own).status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/", {}), ("/state", GOOD), ("/state", {}), ("/nothing", {}), ("/page.css", {}), ("/", {"Host": "evil.example"})],
    ids=str,
)
def test_headers(served: Served, path: str, headers: dict[str, str]) -> None:
    """Each answer, a refusal too, keeps the browser from loading, framing, storing or handing on anything."""
    found = served.ask(path, headers).headers
    policy = dict(part.strip().split(" ", 1) for part in found["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "img", "connect")} == {"'self'"}
    assert policy["require-trusted-types-for"] == "'script'"
    assert found["x-content-type-options"] == "nosniff"
    assert found["x-frame-options"] == "DENY"
    assert found["referrer-policy"] == "no-referrer"
    assert found["cache-control"] == "no-store"
    assert found["cross-origin-resource-policy"] == found["cross-origin-opener-policy"] == "same-origin"
    assert "server" not in found
    assert "set-cookie" not in found


@pytest.mark.parametrize("name", FILES)
def test_files(served: Served, name: str) -> None:
    """Each file of the page is served as what it is, and names no other place."""
    answer = served.ask("/" if name == "page.html" else f"/{name}")
    assert answer.status == 200
    kinds = {"js": "text/javascript", "css": "text/css", "html": "text/html", "svg": "image/svg+xml"}
    assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
    text = answer.body.decode().replace("http://www.w3.org/2000/svg", "")
    assert "//" not in "".join(line.partition("// ")[0] for line in text.splitlines())
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "style="):
        assert word not in text


@pytest.mark.parametrize(
    "path", ["/../ui.py", "/assets/main.js", "//etc/passwd", "/page.html", "/%2e%2e/site.py", "/state/"]
)
def test_no_other_file(served: Served, path: str) -> None:
    """Nothing but the files of the page is there, whatever the path."""
    assert served.ask(path, GOOD).status == 404


HEADS: list[tuple[bytes, int]] = [
    (b"GET / HTTP/1.1\r\n\r\n", 403),  # no Host
    (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n Host: evil\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nnothing\r\n\r\n", 400),
    (b"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    (b"GET / HTTP/2\r\nHost: 127.0.0.1\r\n\r\n", 400),
    (b"\r\n\r\n", 400),
    (b"\xff\xfe\r\n\r\n", 400),
    (b"GET /state HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\nAuthorization: Bearer y\r\n\r\n", 400),
]


PIECES = (
    b"GET ",
    b"POST ",
    b"/",
    b"/state",
    b" HTTP/1.1",
    b"\r\n",
    b"Host: ",
    b"127.0.0.1",
    b"Authorization: ",
    b"Bearer ",
    b"Origin: null",
    b" ",
    b":",
    b"\x00",
)


@pytest.mark.parametrize(("head", "status"), HEADS)
async def test_heads(head: bytes, status: int) -> None:
    """A request that is malformed, or says a thing twice, is refused and not guessed at."""
    answer = Site(TOKEN, Board()).answer(head)
    assert answer.startswith(b"HTTP/1.1 %d " % status)


@given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_any_head(head: bytes) -> None:
    """Whatever comes, the answer is whole, and without the token it is never the state."""
    answer = Site(TOKEN, Board()).answer(head + b"\r\n\r\n")
    first, fields, _ = answer.partition(b"\r\n")
    assert re.fullmatch(rb"HTTP/1\.1 (200|400|401|403|404|405) [A-Za-z ]+", first)
    assert fields
    assert b'"view"' not in answer


async def test_bounds() -> None:
    """A head that has no end, and a connection on which nothing comes, cost what the listener allows and no more."""
    async with Listener("127.0.0.1:0", Site(TOKEN, Board()).answer, connections=2) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * MAX_HEAD)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        idle = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        for _, one in [*idle, (reader, writer)]:
            one.close()


def test_policy() -> None:
    """The policy has no word that lets anything of elsewhere in."""
    for word in ("unsafe", "http:", "https:", "*", "data:", "blob:"):
        assert word not in site._POLICY
