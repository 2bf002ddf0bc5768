"""One tenant's restart storm does not hold up another tenant: told by the order of the audit log, not by a clock."""

import json

import pytest

from tests.integration.tenants import meshed
from tests.localmesh import Cluster
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration


def test_a_restart_storm(installed: Cluster) -> None:
    """Three hundred requests of one tenant wait, and five of another: the five are among the first half that is answered."""
    with meshed(installed) as tenants:
        tenants.add("foo", "bar")
        storm = [tenants.ask("foo") for _ in range(300)]
        few = [tenants.ask("bar", name=f"zz-{tenants.token}-{n}") for n in range(5)]
        with SignerProcess(installed, "--controllers=csr", tenancy="enforce") as process:
            for name in (*storm, *few):
                assert tenants.place.answered(name).chain
        lines = [json.loads(line) for line in process.audit_file.read_text().splitlines()]
        order = [line["name"] for line in lines if line["audit"] == "intent"]
        assert sorted(order) == sorted(storm + few)
        assert max(order.index(name) for name in few) < len(order) / 2
