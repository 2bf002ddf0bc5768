"""A plain HTTP client of an API server, which shares no code with the signer. Synchronous."""

import http.client
import json
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from tests.localmesh.kubeconfig import Access

Json = dict[str, Any]
APPLY = "application/apply-patch+yaml"


class Refused(Exception):
    """The API server said no; `code` is HTTP's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Api:
    """One keep-alive connection to an API server; not for use by several threads at once."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._connection = http.client.HTTPSConnection(
            access.host, access.port, timeout=60, context=access.ssl_context()
        )

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "",
        groups: Iterable[str] = (),
        kind: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        """One request, as `user` (impersonated) when given. Raises Refused; OSError when nobody answers.

        Bytes are sent as they are, and the answer to them, which may be no better, is not read.
        """
        self._connection.putrequest(method, path)
        # What is applied is read as YAML, which knows no pairs of surrogates.
        written = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=kind != APPLY).encode()
        content = b"" if body is None else written
        headers = self._access.headers() | {"Accept": accept, "Content-Type": kind, "Content-Length": str(len(content))}
        if user:
            headers["Impersonate-User"] = user
        for name, value in headers.items():
            self._connection.putheader(name, value)
        for group in groups:
            self._connection.putheader("Impersonate-Group", group)
        try:
            self._connection.endheaders(content)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status >= 400:  # an API server that stops or starts answers in plain text
            refusal = json.loads(text) if text.startswith(b"{") else {}
            raise Refused(answer.status, str(refusal.get("message", text)))
        if isinstance(body, bytes):
            return {}
        found: Json = json.loads(text) if text else {}
        return found

    def get(self, path: str) -> Json:
        return self.call("GET", path)

    def text(self, path: str) -> str:
        """An answer as it comes."""
        self._connection.request("GET", path, headers=self._access.headers() | {"Accept": "application/json"})
        return self._connection.getresponse().read().decode()

    def find(self, path: str) -> Json | None:
        """An object, None when there is none."""
        try:
            return self.call("GET", path)
        except Refused as error:
            if error.code == 404:
                return None
            raise

    def patch(self, path: str, patch: Json) -> Json:
        """A merge patch."""
        return self.call("PATCH", path, patch, kind="application/merge-patch+json")

    def put(self, path: str, body: Json) -> Json:
        return self.call("PUT", path, body)

    def post(self, path: str, body: Json) -> Json:
        return self.call("POST", path, body)

    def delete(self, path: str) -> None:
        self.call("DELETE", path)

    def apply(self, path: str, body: Json) -> Json:
        """Server-side apply: made or changed, whatever there was."""
        return self.call("PATCH", f"{path}?fieldManager=tests&force=true", body, kind=APPLY)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
