"""A CA remembers what was proven to it by a ClusterIssuer's account, and tenants share that account."""

import base64
from dataclasses import dataclass, field

import pytest
from cryptography import x509

from signer.api.certificate import CERTIFICATES
from signer.api.challenge import Challenge
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.secret import SECRETS
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.tenancy.verdict import Reason
from tests.integration.edge.presenters import ServerPresenter
from tests.integration.pebbles import Start, spec
from tests.integration.slow_controllers import world
from tests.localmesh import Cluster
from tests.localmesh.pebble import ChallengeServer

pytestmark = pytest.mark.integration


@dataclass
class _Noting(ServerPresenter):
    """Notes whose Challenges are answered."""

    whose: list[str] = field(default_factory=list)

    async def present(self, challenge: Challenge) -> Reason | None:
        self.whose.append(challenge.metadata.namespace)
        return await super().present(challenge)


async def test_who_comes_later_proves_anew(
    cluster: Cluster, namespace: str, start: Start, answers: ChallengeServer
) -> None:
    """Who gets a host after another has to prove it himself; who has had it all the while does not have to again."""
    ca = start(authz_reuse=100)
    other, host = f"{namespace}-bar", f"shop.{namespace}.example.com"
    cluster.create_namespace(other)
    presenter = _Noting(answers)
    async with (
        world(cluster, namespace, presenter=presenter, hosts=True) as here,
        ApiClient(load_config(str(cluster.kubeconfig()))) as admin,
    ):
        name = await here.issuer("letsencrypt", spec(ca))
        await here.ready("ClusterIssuer", name)
        ref = {"name": name, "kind": "ClusterIssuer"}
        for secret in ("first", "second"):
            await here.certificate(secret, "", commonName=None, dnsNames=[host], issuerRef=ref, secretName=secret)
            await here.ready("Certificate", secret)
        assert presenter.whose == [namespace]
        for secret in ("first", "second"):
            await here.delete("Certificate", secret)
        await admin.delete(HOST_CLAIMS, host)  # as it goes seven days after its last use
        presenter.whose.clear()
        body = {
            "metadata": {"name": "later", "namespace": other},
            "spec": {
                "secretName": "later",
                "dnsNames": [host],
                "privateKey": {"algorithm": "ECDSA", "size": 256},
                "issuerRef": ref,
            },
        }
        await admin.create(CERTIFICATES, body)

        async def there() -> bytes | None:
            try:
                return base64.b64decode((await admin.get(SECRETS, "later", other))["data"]["tls.crt"])
            except NotFound:
                return None

        leaf = x509.load_pem_x509_certificates(await here.until("the later one's certificate", there))[0]
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [host]
        assert presenter.whose == [other]
