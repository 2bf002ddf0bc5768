"""Where a Gateway's Pods are looked for: in the namespaces that are named, and nowhere else."""

import json
from typing import Any, cast

from signer.edge.proxies.find import Proxies
from signer.kube.client import ApiClient


class Asked:
    """Answers each list with nothing, and keeps its path."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def request(self, _method: str, path: str, **_how: Any) -> Any:
        self.paths.append(path)
        return type("Answer", (), {"body": json.dumps({"items": []}).encode()})


async def test_never_in_the_whole_cluster() -> None:
    """A selector that takes no Pod there is not looked for elsewhere: where others' Pods run is nobody's business."""
    client = Asked()
    assert await Proxies(cast("ApiClient", client)).find({"app": "oracle"}, ("foo", "istio-system", "foo")) == []
    assert client.paths == ["/api/v1/namespaces/foo/pods", "/api/v1/namespaces/istio-system/pods"]
