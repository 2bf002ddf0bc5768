"""What an EdgePolicy's status says of it."""

import msgspec
import pytest

from signer.api.edgepolicy import EdgePolicy
from signer.edge.hosts.policy import read_edge_policy
from signer.edge.hosts.policy_status import policy_status
from tests.unit.certificates.samples import NOW


@pytest.mark.parametrize(
    ("namespaces", "covers", "status", "reason"),
    [
        ({"names": ["shop"]}, True, "True", "Read"),
        ({"names": ["shpo"]}, False, "False", "CoversNobody"),
        ({"matchLabels": {"mesh-signer.dev/team": "shop"}}, False, "False", "CoversNobody"),
        (None, False, "True", "Read"),
        ({"names": ["Upper"]}, False, "False", "Invalid"),
    ],
)
def test_whom_it_covers(namespaces: dict[str, object] | None, covers: bool, status: str, reason: str) -> None:
    """One that asks for namespaces and covers none is not Ready, and names them; one for nobody, on purpose, is."""
    spec = {"hostSuffixes": ["example.com"], "namespaces": namespaces}
    body = {"metadata": {"name": "p"}, "spec": {key: value for key, value in spec.items() if value is not None}}
    obj = msgspec.convert(body, EdgePolicy)
    (found,) = policy_status(obj, read_edge_policy(obj), 0, NOW, covers=covers).conditions
    assert (found.type, found.status, found.reason) == ("Ready", status, reason)
    if reason == "CoversNobody" and "names" in (namespaces or {}):
        assert "there is no namespace shpo" in found.message
