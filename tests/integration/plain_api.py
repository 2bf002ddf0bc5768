"""A plain HTTP client of an API server, which shares no code with the signer. Synchronous."""

import http.client
import json
from collections.abc import Iterable
from typing import Any

from tests.localmesh.kubeconfig import Access

Json = dict[str, Any]


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
    ) -> Json:
        """One request, as `user` (impersonated) when given. Raises Refused; OSError when nobody answers."""
        self._connection.putrequest(method, path)
        content = b"" if body is None else json.dumps(body).encode()
        headers = self._access.headers() | {"Content-Type": kind, "Content-Length": str(len(content))}
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
            content = json.loads(text) if text.startswith(b"{") else {}
            raise Refused(answer.status, str(content.get("message", text)))
        found: Json = json.loads(text) if text else {}
        return found

    def get(self, path: str) -> Json:
        return self.call("GET", path)

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
        return self.call("PATCH", f"{path}?fieldManager=tests&force=true", body, kind="application/apply-patch+yaml")

    def close(self) -> None:
        self._connection.close()
