"""One plain HTTP request to a sidecar, and what came of it as a value. Synchronous."""

import dataclasses
import http.client


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one request through the mesh gave. `status` 0: the sidecar took no connection, `text` says why."""

    status: int
    text: str

    @property
    def refused_by_tls(self) -> bool:
        """Whether one side did not accept the other's certificate."""
        return self.status == 503 and "CERTIFICATE_VERIFY_FAILED" in self.text

    def __str__(self) -> str:
        if self.status == 200:
            return "200"
        if self.refused_by_tls:
            return f"{self.status} CERTIFICATE_VERIFY_FAILED"
        return f"{self.status or 'no answer'}: {self.text[:120]}"


def get(address: str, port: int, path: str, host: str, timeout: float) -> Answer:
    """GET `path` from address:port, naming `host`; waits `timeout` seconds at most, and never raises."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode(errors="replace").strip())
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"{type(error).__name__}: {error}")
    finally:
        connection.close()
