"""What it is for: istiod's requests are answered by the Pods."""

from cryptography import x509

from tests.realnode.installation import TENANT, Installation


def test_istiods_requests_are_signed(installed: Installation) -> None:
    """A request as istiod makes it gets a certificate for its workload, signed by the CA that the controllers made."""
    with installed.steady() as load:
        load.go_on(5)
        count = load.end()
    assert load.lost == []
    assert (count.issued, count.refused, count.issued_twice, count.open) == (len(load.issued), 0, 0, 0)
    secret = installed.node.cluster.get("secret", f"{TENANT}-ca-selfsigned", "-n", "cert-manager")
    assert secret["type"] == "kubernetes.io/tls"
    for one in load.issued:
        names = one.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [one.workload.spiffe_id]
        assert one.certificate.issuer.rfc4514_string() == f"CN={TENANT}"
