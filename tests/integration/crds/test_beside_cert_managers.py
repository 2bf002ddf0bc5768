"""Our CRDs beside cert-manager's own: what they take, and what they show."""

from typing import Any

import pytest

from tests.integration import certmanager_crds as peer
from tests.integration.crds.objects import KINDS, SHAPE

pytestmark = pytest.mark.integration
LIMITS = ("enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "maxItems", "maxProperties", "oneOf")
# Fields that cert-manager has not: DNS records by External-DNS, where the self check looks (docs/edge.md), and what an account was
# got with.
_SELF_CHECK = ".spec.acme.solvers[].http01.selfCheck"
NEWER = {
    ".spec.acme.solvers[].dns01.externalDNS",
    ".spec.acme.solvers[].dns01.externalDNS.namespace",
    ".spec.acme.solvers[].dns01.persistent",
    ".spec.acme.solvers[].dns01.persistent.issuerDomainName",
    ".status.acme.lastExternalAccount",
    ".status.acme.lastServer",
} | {f"{_SELF_CHECK}{one}" for one in ("", ".mode", ".addresses", ".addresses[]", ".nameservers", ".nameservers[]")}
# Where our schema says what in cert-manager only the webhook says (internal/apis/certmanager/validation).
LIMITS_OF_THE_WEBHOOK = {
    "Certificate": {
        ".spec.additionalOutputFormats": "each format once, and there are two",
        ".spec.commonName": "64 characters",
        ".spec.duration": "128 characters hold every duration that Go reads",
        ".spec.emailAddresses[]": "a mail address",
        ".spec.ipAddresses[]": "an IP address",
        ".spec.issuerRef.name": "must be specified",
        ".spec.keystores.jks.password": "cannot be empty",
        ".spec.keystores.pkcs12.password": "cannot be empty",
        ".spec.otherNames[].oid": "an object identifier",
        ".spec.otherNames[].utf8Value": "must be set",
        ".spec.renewBefore": "128 characters hold every duration that Go reads",
        ".spec.revisionHistoryLimit": "must not be less than 1",
        ".spec.secretName": "a DNS subdomain",
        ".spec.secretTemplate.annotations": "256 KiB of annotations",
    },
    "CertificateRequest": {
        ".spec.issuerRef.name": "must be specified",
        ".spec.request": "must be specified",
    },
    "Issuer": {
        ".spec.acme.externalAccountBinding.keyID": "must be specified",
        ".spec.acme.privateKeySecretRef.name": "must be specified",
        ".spec.acme.server": "must be specified",
        ".spec.acme.solvers[]": "one solver type",
        ".spec.acme.solvers[].dns01": "a DNS provider",
        ".spec.acme.solvers[].http01": "one HTTP-01 solver type",
        ".spec.acme.solvers[].http01.gatewayHTTPRoute.serviceType": "empty, ClusterIP or NodePort",
        ".spec.acme.solvers[].http01.ingress.ingressClassName": "a DNS subdomain",
        ".spec.acme.solvers[].http01.ingress.serviceType": "empty, ClusterIP or NodePort",
        ".spec.ca.issuingCertificateURLs[]": "cannot be empty",
        ".spec.ca.ocspServers[]": "cannot be empty",
        ".spec.ca.secretName": "must be specified",
        ".spec.vault.path": "must be specified",
        ".spec.vault.server": "must be specified",
        ".spec.venafi.tpp.url": "must be specified",
        ".spec.venafi.zone": "must be specified",
    },
}
LIMITS_OF_THE_WEBHOOK["ClusterIssuer"] = LIMITS_OF_THE_WEBHOOK["Issuer"]


def shared(crd: peer.Schema) -> list[tuple[str, peer.Schema]]:
    """Every path of ours but those that are newer, all of which are there where issuers are."""
    found = list(peer.walk(peer.root(crd)))
    assert {path for path, _ in found} & NEWER == (NEWER if "Issuer" in crd["spec"]["names"]["kind"] else set())
    return [(path, schema) for path, schema in found if path not in NEWER]


class TestBesideCertManager:
    @pytest.mark.parametrize("kind", KINDS)
    def test_same_fields(self, kind: str, ours: dict[str, peer.Schema], theirs: dict[str, peer.Schema]) -> None:
        """Every field of cert-manager's API is there with its type and merge rule, and no other is."""
        mine = {path: {word: found.get(word) for word in SHAPE} for path, found in shared(ours[kind])}
        other = {path: {word: found.get(word) for word in SHAPE} for path, found in peer.walk(peer.root(theirs[kind]))}
        for found in (mine, other):  # "at least one provider" is a limit, not a shape
            found.get(".spec.acme.solvers[].dns01", {}).pop("anyOf", None)
        assert len(other) > 30
        assert mine == other

    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_more_is_required(
        self, kind: str, ours: dict[str, peer.Schema], theirs: dict[str, peer.Schema]
    ) -> None:
        """What may be left out in cert-manager may be left out here."""
        other = dict(peer.walk(peer.root(theirs[kind])))
        for path, found in shared(ours[kind]):
            assert sorted(found.get("required", [])) == sorted(other[path].get("required", [])), path

    @pytest.mark.parametrize("kind", KINDS)
    def test_limits(self, kind: str, ours: dict[str, peer.Schema], theirs: dict[str, peer.Schema]) -> None:
        """Limits are cert-manager's, and where ours go further, its webhook says the same."""
        other = dict(peer.walk(peer.root(theirs[kind])))
        further = set()
        for path, found in shared(ours[kind]):
            limits = {word: found[word] for word in LIMITS if word in found}
            if path.endswith(".dns01") and "anyOf" in found:
                limits["anyOf"] = found["anyOf"]
            expected = {word: other[path][word] for word in LIMITS if word in other[path]}
            if limits != expected:
                assert not expected, f"{path}: {limits} instead of {expected}"
                further.add(path)
        assert further == set(LIMITS_OF_THE_WEBHOOK[kind])

    @pytest.mark.parametrize("kind", KINDS)
    def test_names_columns_and_subresources(
        self, kind: str, ours: dict[str, peer.Schema], theirs: dict[str, peer.Schema]
    ) -> None:
        """Group, scope, short names, category, columns, selectable fields and subresources are what users know."""

        def facts(crd: peer.Schema) -> dict[str, Any]:
            (version,) = crd["spec"]["versions"]
            columns = version["additionalPrinterColumns"]
            return {
                "group": crd["spec"]["group"],
                "names": crd["spec"]["names"],
                "scope": crd["spec"]["scope"],
                "columns": [{key: column[key] for key in column if key != "description"} for column in columns],
                "selectable": version.get("selectableFields"),
                "subresources": version["subresources"],
                "version": (version["name"], version["served"], version["storage"]),
            }

        assert facts(ours[kind]) == facts(theirs[kind])

    def test_our_words(self, ours: dict[str, peer.Schema], theirs: dict[str, peer.Schema]) -> None:
        """Every field is described, and no description shares eight words in a row with cert-manager's."""
        known: set[tuple[str, ...]] = set()
        for crd in theirs.values():
            for _, found in peer.walk(peer.root(crd)):
                known |= peer.shingles(found.get("description", ""))
        assert len(known) > 1000
        for crd in ours.values():
            for path, found in peer.walk(peer.root(crd)):
                text = found.get("description", "")
                assert not peer.shingles(text) & known, f"{path}: {text}"
                if not path.endswith(("[]", "{}", ".metadata")):
                    assert text, f"{path} has no description"

    @pytest.mark.parametrize("kind", KINDS)
    def test_marked_as_ours(self, kind: str, ours: dict[str, peer.Schema], theirs: dict[str, peer.Schema]) -> None:
        """Our CRDs carry the mark by which the controllers tell them from cert-manager's."""
        assert ours[kind]["metadata"]["annotations"]["mesh-signer.dev/crds"] == "v1"
        assert ours[kind]["metadata"]["labels"]["app.kubernetes.io/part-of"] == "mesh-signer"
        assert "mesh-signer.dev/crds" not in theirs[kind]["metadata"]["annotations"]
