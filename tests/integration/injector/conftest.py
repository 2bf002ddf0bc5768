"""Fixtures of the CA injector's tests: its component applied as a user would, and an account that acts as it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.injector.objects import ACCOUNT, in_force
from tests.integration.plain_api import Api
from tests.localmesh import Cluster, kubeconfig
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

COMPONENT = Path(__file__).parents[3] / "manifests" / "components" / "ca-injector"


@pytest.fixture(scope="module")
def guarded(installed: Cluster) -> Cluster:
    """The cluster with the CA injector's rights and its admission policy in force; no process of it runs."""
    for name in ("rbac.yaml", "admission.yaml"):
        installed.apply(COMPONENT / name)
    return installed


@pytest.fixture(scope="module")
def api(guarded: Cluster) -> Iterator[Api]:
    """A cluster-admin's connection, once the policy is in force."""
    found = Api(kubeconfig.read(guarded.kubeconfig()))
    guarded.wait_for(lambda: in_force(found), "the CA injector's admission policy")
    yield found
    found.close()


@pytest.fixture(scope="module")
def injector(api: Api, guarded: Cluster) -> Iterator[Api]:
    """A connection with the token of the injector's ServiceAccount: what RBAC and the policy give, and no more."""
    assert in_force(api)
    found = Api(kubeconfig.read(guarded.service_account_kubeconfig("cert-manager", ACCOUNT)))
    yield found
    found.close()


@pytest.fixture(scope="module")
def running(api: Api, guarded: Cluster) -> Iterator[SignerProcess]:
    """The injector and the controllers, each under the ServiceAccount that we ship; gives the injector."""
    assert in_force(api)
    options = "--controllers=issuers,certificates,certificaterequests,casources"
    with (
        SignerProcess(guarded, options, account=CONTROLLERS_ACCOUNT),
        SignerProcess(guarded, "--controllers=cainjector", account=ACCOUNT) as process,
    ):
        yield process
