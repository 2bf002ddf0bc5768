"""What is tried by CertificateSigningRequests: under istiod's account, as a taken-over workload has it ask, and by nodes."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests import pki
from tests.integration.attacks.conftest import Siege
from tests.integration.hot_path import Answered
from tests.integration.plain_api import Refused
from tests.integration.tenants import ISTIOD

pytestmark = pytest.mark.integration

IS_CA, DURATION = "experimental.cert-manager.io/request-is-ca", "experimental.cert-manager.io/request-duration"
KEY = "experimental.cert-manager.io/private-key-secret-name"
NODE = "system:node:n1"
ISTIODS = pki.csr(dns=["istiod.istio-system.svc"], subject=pki.name(organization=""))
SERVER = ("digital signature", "key encipherment", "server auth")
EVIL = pki.csr(subject=pki.name(common_name="evil"))
MINE = pki.workload_csr("bar")


@dataclass(frozen=True)
class Ask:
    """Who asks which signer for what, and the reason of the refusal; "" where it stays unanswered."""

    signer: str
    csr: bytes
    reason: str
    user: str = ISTIOD
    more: dict[str, Any] = field(default_factory=dict)


ASKS = {
    "bar-asks-foo": Ask("foo", MINE, "TenantMismatch"),
    "bar-asks-the-default": Ask("istio-system", MINE, "TenantMismatch"),
    "bar-asks-a-ca-outside-the-mesh": Ask("corp", MINE, "TenantMismatch"),
    "bar-asks-a-ca-below-a-mesh-root": Ask("sub", MINE, "TenantMismatch"),
    "bar-asks-a-self-signed-one-of-foos-key": Ask(
        "selfsigned", MINE, "TenantMismatch", more={"annotations": {KEY: "foo"}}
    ),
    "an-unclaimed-namespace-asks-foo": Ask("foo", pki.workload_csr("default"), "TenantMismatch"),
    "shop-asks-foo": Ask("foo", pki.workload_csr("shop"), "TenantMismatch"),
    "another-account-than-the-policys": Ask("shop", pki.workload_csr("bar", "admin"), "*"),
    "istiods-name-of-foo": Ask("foo", ISTIODS, "*", more={"usages": SERVER}),
    "istiods-name-with-a-subject": Ask(
        "istio-system",
        pki.csr(dns=["istiod.istio-system.svc"], subject=pki.name(common_name="istiod.istio-system.svc")),
        "*",
        more={"usages": SERVER},
    ),
    "an-unknown-revisions-istiod": Ask("bar", MINE, "RequesterNotAllowed", user=f"{ISTIOD}-x"),
    "an-istiod-of-bars-namespace": Ask("bar", MINE, "RequesterNotAllowed", user="system:serviceaccount:bar:istiod"),
    "a-node-at-foo": Ask("foo", pki.workload_csr("foo"), "RequesterNotAllowed", user=NODE),
    "a-node-at-shop": Ask("shop", pki.workload_csr("shop"), "RequesterNotAllowed", user=NODE),
    "a-ca-below-a-mesh-root-by-a-node": Ask(
        "sub", EVIL, "*", user=NODE, more={"usages": ("cert sign",), "annotations": {IS_CA: "true"}}
    ),
    "an-identity-below-a-mesh-root-by-a-node": Ask("sub", MINE, "*", user=NODE),
    "istiods-name-below-a-mesh-root-by-a-node": Ask("sub", ISTIODS, "*", user=NODE, more={"usages": SERVER}),
    "istiods-common-name-below-a-mesh-root-by-a-node": Ask(
        "sub", pki.csr(subject=pki.name(common_name="istiod.istio-system.svc")), "*", user=NODE, more={"usages": SERVER}
    ),
    "a-cas-key-by-a-self-signed-request": Ask(
        "selfsigned",
        pki.csr(pki.key("p256", n=hash("shop")), subject=pki.name(common_name="shop")),
        "",
        user=NODE,
        more={"usages": ("cert sign",), "annotations": {KEY: "shop", IS_CA: "true"}},
    ),
    "a-neighbours-own-issuer": Ask("issuers.cert-manager.io/shop.ca", MINE, ""),
    "ones-own-issuer-by-istiod": Ask("issuers.cert-manager.io/bar.ca", MINE, ""),
    **{
        f"a-malformed-signer-{number}": Ask(signer, MINE, "")
        for number, signer in enumerate(
            (
                "clusterissuers.cert-manager.io/Foo",
                "clusterissuers.cert-manager.io/foo/x",
                "clusterissuers.cert-manager.io/foo.",
                "issuers.cert-manager.io/.foo",
                "issuers.cert-manager.io/foo",
                "clusterissuers.cert-manager.io/../foo",
            )
        )
    },
    "two-blocks": Ask("bar", MINE + pki.workload_csr("foo"), "*"),
    "a-line-before": Ask("bar", b"\n" + MINE, "*"),
    "no-usage-of-a-workload": Ask("bar", MINE, "*", more={"usages": ("digital signature",)}),
    "usage-any": Ask("bar", MINE, "*", more={"usages": ("any",)}),
    "a-namespace-that-does-not-exist": Ask("foo", pki.workload_csr("nosuch"), "NamespaceNotFound"),
    "another-namespace-of-the-same-tenant": Ask("bar", pki.workload_csr("default"), "TenantMismatch"),
}


@pytest.mark.parametrize("name", ASKS)
def test_no_signing_request_gets_more(siege: Siege, name: str) -> None:
    """Whoever asks, and whatever: nobody gets a certificate of a CA that is not his, and the reason says why."""
    one, place = ASKS[name], siege.place
    try:
        asked = place.ask(one.signer, one.csr, user=one.user, **one.more)
    except Refused as error:
        assert error.code in (400, 422), error  # noqa: PT017 - the API server may be the first to refuse it
        return
    if one.reason:
        found = place.answered(asked)
        assert not found.chain
        assert found.failed[0] == one.reason or one.reason == "*", found.failed
        return
    # An honest one that was asked later has its certificate: this one was looked at before.
    place.issue("bar", MINE, user=ISTIOD)
    assert not Answered(place.look(asked)).chain


@pytest.mark.parametrize("more", [{"seconds": 315_360_000}, {"annotations": {IS_CA: "true", DURATION: "100000h"}}])
def test_what_is_granted_is_no_more(siege: Siege, more: dict[str, Any]) -> None:
    """A workload's own certificate is no CA's and good for no longer than its tenant's are, whatever is asked beside."""
    for signer, most in (("bar", 86400), ("shop", 3600)):
        found = siege.place.issue(signer, MINE, user=ISTIOD, **more)
        assert not found.is_ca
        assert found.uris == [pki.spiffe("bar")]
        assert found.seconds <= most + 300
