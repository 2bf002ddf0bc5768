"""What an API server may answer to a write, and a client that is answered so: faults that no server gives on demand."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec

from signer.kube.client import ApiClient, Response
from signer.kube.errors import ApiError, Unreachable, api_error


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer by its name. `words` are what people must read; `lasts`: it is told only when it lasts, as it may pass."""

    name: str
    error: ApiError | Unreachable
    words: str
    lasts: bool = False


def _answer(name: str, status: int, reason: str, words: str, *, lasts: bool = False) -> Answer:
    return Answer(name, api_error(status, reason, f"it is refused: {words}"), words, lasts)


ANSWERS = (
    _answer("policy", 403, "Forbidden", "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not here"),
    _answer("rights", 403, "Forbidden", 'User "system:serviceaccount:a:b" cannot do that in the namespace "c"'),
    _answer("quota", 403, "Forbidden", "exceeded quota: q, requested: count/x=1, used: count/x=5, limited: count/x=5"),
    _answer("immutable", 422, "Invalid", "Invalid value: field is immutable"),
    _answer("broken", 400, "BadRequest", "strict decoding error: unknown field"),
    _answer("large", 413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
    _answer("webhook", 500, "InternalError", 'failed calling webhook "w": connection refused'),
    _answer("conflict", 409, "Conflict", "the object has been modified", lasts=True),
    _answer("busy", 429, "TooManyRequests", "the server has received too many requests", lasts=True),
    _answer("starting", 503, "ServiceUnavailable", "the server is currently unable to handle it", lasts=True),
    _answer("slow", 504, "Timeout", "request did not complete within the timeout", lasts=True),
    _answer("login", 401, "Unauthorized", "the token has expired", lasts=True),
    Answer("away", Unreachable("connection reset by peer"), "connection reset by peer", lasts=True),
)
BY_NAME = {one.name: one for one in ANSWERS}


class _Metadata(msgspec.Struct):
    name: str = ""


class _Named(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class Refusals:
    """Answers writes of `client` by rules; what no rule is for goes through. `tries` counts what was refused."""

    def __init__(self, client: ApiClient) -> None:
        self._rules: list[tuple[re.Pattern[str], Answer]] = []
        self._request = client.request
        self.tries: Counter[str] = Counter()
        client.request = self._ask  # type: ignore[method-assign]

    def refuse(self, pattern: str, answer: Answer) -> None:
        """Answer so to writes whose "METHOD PATH NAME" fits; the name is the body's, for what is created."""
        self._rules.append((re.compile(pattern), answer))

    def end(self) -> None:
        """Refuse nothing any more."""
        self._rules.clear()

    async def _ask(self, method: str, path: str, **more: Any) -> Response:
        if method != "GET":
            body = more.get("body")
            name = msgspec.json.decode(body, type=_Named).metadata.name if body and method == "POST" else ""
            for pattern, answer in self._rules:
                if pattern.search(f"{method} {path} {name}"):
                    self.tries[answer.name] += 1
                    raise answer.error
        return await self._request(method, path, **more)
