"""Our CRDs on the real API server: every field survives, hostile objects do not, and they take cert-manager's place."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.integration import certmanager_crds as peer
from tests.integration.crds.objects import KINDS, create, request, set_status, thing
from tests.integration.sample import drop, leaves, sample
from tests.localmesh import Cluster, LocalCluster, LocalMeshError
from tests.localmesh.install import install_crds

pytestmark = pytest.mark.integration


def certificate(name: str, **fields: Any) -> dict[str, Any]:
    spec = {"secretName": "s", "issuerRef": {"name": "i"}, "dnsNames": ["a.example"]} | fields
    return thing("Certificate", name, {key: value for key, value in spec.items() if value is not None})


def issuers(schema: peer.Schema) -> Iterator[dict[str, Any]]:
    """Specs that together have every field of an issuer."""
    full = sample(schema["properties"]["spec"])
    for kind in ("ca", "selfSigned"):
        yield {kind: full[kind]}
    yield {"vault": drop(full["vault"], "caBundleSecretRef")}
    yield {"vault": drop(full["vault"], "caBundle")}
    yield {"venafi": drop(full["venafi"], "cloud", "tpp.caBundleSecretRef")}
    yield {"venafi": drop(full["venafi"], "cloud", "tpp.caBundle")}
    yield {"venafi": drop(full["venafi"], "tpp")}
    (solver,) = full["acme"]["solvers"]
    solvers = []
    for provider in solver["dns01"]:
        if provider != "cnameStrategy":
            chosen = {provider: solver["dns01"][provider], "cnameStrategy": "Follow"}
            solvers.append(drop(solver, "http01") | {"dns01": chosen})
    for name in ("class", "ingressClassName", "name"):
        others = {"class", "ingressClassName", "name"} - {name}
        chosen = {"ingress": drop(solver["http01"]["ingress"], *others)}
        solvers.append(drop(solver, "dns01") | {"http01": chosen})
    solvers.append(drop(solver, "dns01") | {"http01": drop(solver["http01"], "ingress")})
    yield {"acme": drop(full["acme"], "caBundle") | {"solvers": solvers}}
    yield {"acme": drop(full["acme"], "skipTLSVerify") | {"solvers": solvers[:1]}}


def certificates(schema: peer.Schema) -> Iterator[dict[str, Any]]:
    """Specs that together have every field of a Certificate."""
    full = sample(schema["properties"]["spec"])
    references = ("keystores.jks.passwordSecretRef", "keystores.pkcs12.passwordSecretRef")
    passwords = ("keystores.jks.password", "keystores.pkcs12.password")
    yield drop(full, "literalSubject", "renewBeforePercentage", *references)
    yield drop(full, "commonName", "subject", "renewBefore", *passwords)


def requests(schema: peer.Schema) -> Iterator[dict[str, Any]]:
    """One spec with every field of a CertificateRequest, less what says who asks: that is the API server's to say."""
    yield drop(sample(schema["properties"]["spec"]), "username", "uid", "groups", "extra")
    yield {"username": "kubernetes-admin", "uid": "", "groups": ["system:authenticated"], "extra": {}}


SPECS = {"ClusterIssuer": issuers, "Issuer": issuers, "Certificate": certificates, "CertificateRequest": requests}


class TestOnTheApiServer:
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_field_survives(
        self, kind: str, served: Cluster, namespace: str, theirs: dict[str, peer.Schema]
    ) -> None:
        """Objects that together set every field of cert-manager's schema come back as they were sent."""
        schema = peer.root(theirs[kind])
        seen: set[str] = set()
        for number, spec in enumerate(SPECS[kind](schema)):
            wanted = thing(kind, f"{namespace}-{number}", spec)
            if kind == "CertificateRequest" and "username" in spec:
                who = json.loads(served.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]
                about = {key: who[key] for key in ("username", "uid", "groups", "extra") if key in who}
                wanted["spec"] = request("x")["spec"] | about
                seen |= set(leaves(spec, ".spec"))
            made = create(served, wanted, "-n", namespace)
            assert made["spec"] == wanted["spec"]
            status = sample(schema["properties"]["status"])
            made["status"] = status
            if kind == "CertificateRequest":
                status["conditions"][0] |= {"type": "Ready"}
            assert set_status(served, made)["status"] == status
            seen |= set(leaves(wanted["spec"], ".spec")) | set(leaves(status, ".status"))
            if kind == "ClusterIssuer":
                served.kubectl("delete", "clusterissuer", wanted["metadata"]["name"])
        expected = {
            path
            for path, found in peer.walk(schema)
            if path.startswith((".spec.", ".status.")) and not found.get("x-kubernetes-preserve-unknown-fields")
        }
        assert expected - {re.sub(r"\{\}.*", "{}", path) for path in seen} - seen == set()

    def test_columns(self, served: Cluster, namespace: str) -> None:
        """`kubectl get` shows the columns that cert-manager's users know, with short names and field selectors."""
        ready = [
            {"type": "Ready", "status": "True", "reason": "R", "message": "all is well"},
            {"type": "Approved", "status": "True", "reason": "R"},
        ]
        made = create(served, certificate("web", secretName="web-tls", issuerRef={"name": "mine"}), "-n", namespace)
        set_status(served, made | {"status": {"conditions": ready[:1]}})
        made = create(served, request("web-1", issuerRef={"name": "mine"}), "-n", namespace)
        set_status(served, made | {"status": {"conditions": ready}})
        made = create(served, thing("Issuer", "mine", {"selfSigned": {}}), "-n", namespace)
        set_status(served, made | {"status": {"conditions": ready[:1]}})

        def table(*arguments: str) -> list[list[str]]:
            text = served.kubectl("get", *arguments, "-n", namespace)
            return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]

        assert table("certificates")[0] == ["NAME", "READY", "SECRET", "AGE"]
        assert table("cert")[1][:3] == ["web", "True", "web-tls"]
        assert table("certs", "-o", "wide")[0] == ["NAME", "READY", "SECRET", "ISSUER", "STATUS", "AGE"]
        assert table("certs", "-o", "wide")[1][:5] == ["web", "True", "web-tls", "mine", "all is well"]
        columns = ["NAME", "APPROVED", "DENIED", "READY", "ISSUER", "REQUESTER", "AGE"]
        assert table("cr")[0] == columns
        assert table("crs", "-o", "wide")[0] == [*columns[:-1], "STATUS", "AGE"]
        assert table("iss")[0] == ["NAME", "READY", "AGE"]
        assert table("issuers", "-o", "wide")[1][:3] == ["mine", "True", "all is well"]
        assert len(table("cert-manager")) >= 5  # the category: three tables of one object each
        assert table("cert", "--field-selector=spec.issuerRef.name=mine")[1][0] == "web"
        create(served, thing("ClusterIssuer", namespace, {"selfSigned": {}}))
        text = served.kubectl("get", "ciss", namespace, "-o", "wide")
        served.kubectl("delete", "clusterissuer", namespace)
        assert text.split()[:4] == ["NAME", "READY", "STATUS", "AGE"]

    @pytest.mark.parametrize(
        ("hostile", "message"),
        [
            (certificate("a", dnsNames=None), "at least one name is expected"),
            (certificate("a", dnsNames=[]), "at least one name is expected"),
            (certificate("a", secretName=""), "spec.secretName"),
            (certificate("a", secretName="../etc/passwd"), "spec.secretName"),
            (certificate("a", secretName="x" * 254), "spec.secretName"),
            (certificate("a", secretName=None), "spec.secretName: Required value"),
            (certificate("a", issuerRef={"name": ""}), "spec.issuerRef.name"),
            (certificate("a", issuerRef={"name": "i", "kind": "Isuer"}), "spec.issuerRef: Invalid value"),
            (certificate("a", commonName="x" * 65), "spec.commonName: Too long"),
            *(
                (certificate("a", **{field: text}), "is not a duration: write hours, minutes and seconds, as 2160h")
                for field in ("duration", "renewBefore")
                for text in ("90d", "1d", "1w", "3 months", "2160", "1h 30m")
            ),
            (
                certificate("a", literalSubject="CN=a", commonName="a"),
                "literalSubject and commonName cannot both be set",
            ),
            (
                certificate("a", literalSubject="CN=a", subject={"countries": ["CH"]}),
                "literalSubject and subject cannot both be set",
            ),
            (certificate("a", duration="59m"), "duration is at least 1h"),
            (certificate("a", duration="2562048h"), "is too long a duration: the longest is 2499999h"),
            (certificate("a", renewBefore="1h" * 60), "is too long a duration: the longest is 2499999h"),
            (certificate("a", duration="-24h"), "duration is at least 1h"),
            (certificate("a", duration="soon"), "spec"),
            (certificate("a", duration="1h", renewBefore="1h"), "renewBefore is less than duration"),
            (certificate("a", renewBefore="2160h"), "renewBefore is less than duration"),
            (certificate("a", renewBefore="4m59s"), "renewBefore is at least 5m"),
            (certificate("a", renewBefore="1h", renewBeforePercentage=10), "cannot both be set"),
            (certificate("a", duration="1h", renewBeforePercentage=0), "renewBeforePercentage is 1 to 99"),
            (certificate("a", duration="1h", renewBeforePercentage=95), "leaves at least 5m"),
            (certificate("a", duration="1h", renewBeforePercentage=-2147483648), "renewBeforePercentage is 1 to 99"),
            (certificate("a", privateKey={"size": 1024}), "spec.privateKey: Invalid value"),
            (certificate("a", privateKey={"size": 16384}), "size of an RSA key is 2048 to 8192"),
            (certificate("a", privateKey={"algorithm": "ECDSA", "size": 224}), "size of an ECDSA key is"),
            (certificate("a", privateKey={"algorithm": "DSA"}), "spec.privateKey.algorithm: Unsupported value"),
            (certificate("a", signatureAlgorithm="PureEd25519"), "signatureAlgorithm does not fit"),
            (certificate("a", usages=["world domination"]), "spec.usages[0]: Unsupported value"),
            (certificate("a", revisionHistoryLimit=0), "spec.revisionHistoryLimit"),
            (certificate("a", ipAddresses=["localhost"]), "spec.ipAddresses[0]"),
            (certificate("a", emailAddresses=["nobody"]), "spec.emailAddresses[0]"),
            (certificate("a", otherNames=[{"oid": "1.2.x", "utf8Value": "v"}]), "spec.otherNames[0].oid"),
            (certificate("a", otherNames=[{"oid": "1.2"}]), "oid and utf8Value are expected"),
            (certificate("a", nameConstraints={"permitted": {}}), "nameConstraints needs isCA"),
            (certificate("a", isCA=True, nameConstraints={"critical": True}), "either permitted or excluded"),
            (
                certificate("a", secretTemplate={"annotations": {"cert-manager.io/x": ""}}),
                "spec.secretTemplate.annotations",
            ),
            (certificate("a", additionalOutputFormats=[{"type": "DER"}] * 2), "each type once"),
            (certificate("a", keystores={"jks": {"create": True}}), "either password or passwordSecretRef"),
            (certificate("a", dnsNames="a.example"), "spec.dnsNames"),
            (certificate("a", unknownField=1), 'unknown field "spec.unknownField"'),
            (request("a", issuerRef={"name": "i", "kind": "Pod"}), "spec.issuerRef: Invalid value"),
            (request("a", request=""), "spec.request"),
            (request("a", request="not base64!"), "spec.request"),
            (request("a", usages=["all"]), "spec.usages[0]: Unsupported value"),
            (request("a", username="system:admin"), "spec.username is the requester's own name"),
            (request("a", groups=["system:nobody"]), "spec.groups are groups of the requester"),
            (request("a", uid="0"), "spec.uid is the requester's own UID"),
            (request("a", extra={"scopes": ["all"]}), "spec.extra is what the API server knows"),
            (thing("Issuer", "a", {}), "exactly one issuer type is expected"),
            (
                thing("Issuer", "a", {"ca": {"secretName": "s"}, "selfSigned": {}}),
                "exactly one issuer type is expected",
            ),
            (thing("Issuer", "a", {"ca": {"secretName": ""}}), "spec.ca.secretName"),
            (thing("Issuer", "a", {"ca": {}}), "spec.ca.secretName: Required value"),
            (thing("Issuer", "a", {"ca": {"secretName": "s", "ocspServers": [""]}}), "spec.ca.ocspServers[0]"),
            (
                thing("Issuer", "a", {"acme": {"server": "", "privateKeySecretRef": {"name": "k"}}}),
                "spec.acme.server",
            ),
            (
                thing("Issuer", "a", {"acme": {"server": "u", "privateKeySecretRef": {"name": "k"}, "solvers": [{}]}}),
                "spec.acme.solvers[0]",
            ),
            (thing("Issuer", "a", {"venafi": {"zone": "z"}}), "either cloud or tpp is expected"),
            (
                thing(
                    "Issuer",
                    "a",
                    {"vault": {"auth": {}, "path": "p", "server": "s", "clientKeySecretRef": {"name": "k"}}},
                ),
                "clientCertSecretRef and clientKeySecretRef go together",
            ),
            (thing("ClusterIssuer", "a", {}), "exactly one issuer type is expected"),
        ],
    )
    def test_hostile_objects(self, served: Cluster, hostile: dict[str, Any], message: str) -> None:
        """A wrong object is refused with a message that names what is wrong."""
        with pytest.raises(LocalMeshError, match=re.escape(message)):
            create(served, hostile, "-n", "default", "--dry-run=server")

    @pytest.mark.parametrize(
        "odd",
        [
            certificate("a", renewBeforePercentage=150),
            certificate("a", duration="1h", renewBefore="59m59s"),
            certificate("a", duration="2499999h59m59s", renewBefore="2499999h"),
            certificate("a", duration="1h", renewBeforePercentage=91),
            certificate("a", privateKey={"size": 0}),
            certificate("a", privateKey={"size": -1}),
            certificate("a", privateKey={"algorithm": "Ed25519", "size": 7}, signatureAlgorithm="PureEd25519"),
            certificate("a", issuerRef={"name": "i", "kind": "AWSPCAClusterIssuer", "group": "awspca.cert-manager.io"}),
            certificate("a", issuerRef={"name": "Not A Name", "kind": "", "group": ""}),
            certificate("a", dnsNames=None, commonName="x" * 64),
            certificate("a", dnsNames=None, literalSubject="CN=a"),
            certificate("a", dnsNames=["*.example", "not a name", ""]),
            certificate("a", ipAddresses=["::ffff:10.0.0.1", "2001:db8::1", "10.0.0.1"]),
            certificate("a", emailAddresses=['"a b"@example', "a@[10.0.0.1]"]),
            certificate("a", usages=[], uris=["spiffe://cluster.local/ns/a/sa/b"]),
            certificate("a", secretTemplate={"annotations": {"cert-manager.io/allow-direct-injection": "true"}}),
            request("a", duration="1ns", isCA=True),
            thing("Issuer", "a", {"ca": {"secretName": "Not A Name", "crlDistributionPoints": [""]}}),
            thing("Issuer", "a", {"acme": {"server": "x", "privateKeySecretRef": {"name": "k"}}}),
        ],
    )
    def test_odd_objects_that_cert_manager_takes(self, served: Cluster, odd: dict[str, Any]) -> None:
        """What cert-manager's CRDs and webhook accept is accepted here, sensible or not; the controllers judge it."""
        assert create(served, odd, "-n", "default", "--dry-run=server")["spec"] == odd["spec"]


def test_taking_over_from_cert_manager(
    private_cluster: Callable[..., LocalCluster], theirs: dict[str, peer.Schema], ours: dict[str, peer.Schema]
) -> None:
    """Objects made under cert-manager's CRDs stay as they are when ours take their place, and the place is wholly ours."""
    cluster = private_cluster(controller_manager=False)
    names = [f"crd/{kind.lower()}s.cert-manager.io" for kind in KINDS]
    cluster.kubectl("create", "-f", "-", input="---\n".join(map(yaml.safe_dump, theirs.values())))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    specs = {kind: list(SPECS[kind](peer.root(theirs[kind]))) for kind in ("Issuer", "Certificate")}
    before = [
        create(cluster, thing(kind, f"object-{number}", spec), "-n", "default")
        for kind in specs
        for number, spec in enumerate(specs[kind])
    ]
    install_crds(cluster)
    for one in before:
        assert cluster.get(one["kind"], one["metadata"]["name"], "-n", "default") == one
    for kind, name in zip(KINDS, names, strict=True):
        found = cluster.get(name)
        (version,) = found["spec"]["versions"]
        assert version["schema"]["openAPIV3Schema"] == peer.root(ours[kind])
        assert found["metadata"]["annotations"]["mesh-signer.dev/crds"] == "v1"
