"""A bridge on a real API server, under the rights that we ship: two hands build it, either ends it, nobody else's object is touched."""

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.integration.bridges.tenancies import GATEWAY, Crossing

pytestmark = pytest.mark.integration


class TestTwoHands:
    def test_both(self, crossing: Crossing) -> None:
        """With both hands there is a certificate by the server's CA for the client's own identity, and a rule that uses it."""
        crossing.policy()
        crossing.bridge()
        crossing.stands()
        leaf = crossing.leaf()
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
            f"spiffe://cluster.local/ns/{crossing.client}/sa/{GATEWAY}"
        ]
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        leaf.verify_directly_issued_by(crossing.tenants.cas["server"].certificate)
        assert crossing.roots() == [crossing.tenants.cas["server"].certificate]
        (rule,) = crossing.rules()
        tls = rule["spec"]["trafficPolicy"]["tls"]
        assert tls["mode"] == "MUTUAL"
        assert tls["subjectAltNames"] == sorted(
            f"spiffe://cluster.local/ns/{crossing.server}/sa/{one}" for one in ("default", "httpbin")
        )
        assert rule["spec"]["exportTo"] == ["."]
        assert rule["spec"]["workloadSelector"] == {"matchLabels": {"istio": "ingressgateway"}}
