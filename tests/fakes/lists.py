"""Lists of stored objects, as an API server gives them: by page, by field selector, whole or metadata alone. In memory."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from signer.kube.errors import TooMuch
from signer.kube.objects import Response

Json = dict[str, Any]
Query = Mapping[str, str | int | bool]


class StoredLists:
    """Answers `request` for the lists of one resource. `asked` has the query of each list, `sent` its bytes.

    `before` is called with the query before each answer.
    """

    def __init__(self, objects: Iterable[Json] = ()) -> None:
        self.objects = list(objects)
        self.asked: list[Json] = []
        self.sent = 0
        self.before: Callable[[Query], None] = lambda _: None

    @property
    def singles(self) -> list[str]:
        """The names that were asked for alone, in order."""
        asked = (str(query.get("fieldSelector", "")) for query in self.asked)
        return [one.removeprefix("metadata.name=") for one in asked if one.startswith("metadata.name=")]

    async def request(self, method: str, path: str, *, query: Query, accept: str, largest: int, **_: Any) -> Response:
        assert method == "GET"
        self.before(query)
        self.asked.append(dict(query))
        found = sorted(self._selected(path, str(query.get("fieldSelector", ""))), key=_key)
        if after := query.get("continue"):
            found = [one for one in found if "/".join(_key(one)) > str(after)]
        limit = int(query.get("limit", len(found) or 1))
        page = found[:limit]
        more = "/".join(_key(page[-1])) if len(found) > limit else ""
        if "PartialObjectMetadataList" in accept:
            page = [{"metadata": one["metadata"]} for one in page]
        body = json.dumps({"items": page, "metadata": {"continue": more, "resourceVersion": "1"}}).encode()
        self.sent += min(len(body), largest)
        if len(body) > largest:
            raise TooMuch(f"the answer is larger than {largest} bytes")
        return Response(200, {}, body)

    def _selected(self, path: str, selector: str) -> list[Json]:
        _, _, rest = unquote(path).partition("/namespaces/")
        found = [one for one in self.objects if not rest or one["metadata"]["namespace"] == rest.partition("/")[0]]
        for term in filter(None, selector.split(",")):
            field, _, value = term.partition("=")
            wanted = not field.endswith("!")
            name = field.rstrip("!").removeprefix("metadata.")
            found = [one for one in found if (one["metadata"][name] == value) is wanted]
        return found


def _key(obj: Json) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
