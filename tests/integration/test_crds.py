"""Our CRDs beside cert-manager's own, and on the real API server."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration import certmanager_crds as peer
from tests.integration.sample import drop, leaves, sample
from tests.localmesh import Cluster, LocalCluster, LocalMeshError

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[2] / "manifests" / "crds"
COMPONENT = FOLDER.parent / "components" / "requester"
KINDS = ("ClusterIssuer", "Issuer", "Certificate", "CertificateRequest")
SHAPE = (
    "type",
    "format",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "anyOf",
    "default",
)
LIMITS = ("enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "maxItems", "maxProperties", "oneOf")

# Where our schema says what in cert-manager only the webhook says (internal/apis/certmanager/validation).
LIMITS_OF_THE_WEBHOOK = {
    "Certificate": {
        ".spec.additionalOutputFormats": "each format once, and there are two",
        ".spec.commonName": "64 characters",
        ".spec.emailAddresses[]": "a mail address",
        ".spec.ipAddresses[]": "an IP address",
        ".spec.issuerRef.name": "must be specified",
        ".spec.keystores.jks.password": "cannot be empty",
        ".spec.keystores.pkcs12.password": "cannot be empty",
        ".spec.otherNames[].oid": "an object identifier",
        ".spec.otherNames[].utf8Value": "must be set",
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


@pytest.fixture(scope="module")
def theirs() -> dict[str, peer.Schema]:
    return peer.definitions()


@pytest.fixture(scope="module")
def ours() -> dict[str, peer.Schema]:
    read = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(FOLDER.glob("cert-manager.io_*.yaml"))]
    return {crd["spec"]["names"]["kind"]: crd for crd in read}


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Cluster:
    """The cluster with our CRDs and their admission policies in force."""
    cluster.apply_kustomize(FOLDER)
    names = [f"crd/{kind.lower()}s.cert-manager.io" for kind in KINDS]
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)

    def refused() -> bool:  # policies take effect a moment after they are stored
        forged = request("forged") | {"metadata": {"name": "forged", "namespace": "default"}}
        forged["spec"]["username"] = "somebody else"
        try:
            create(cluster, forged, "--dry-run=server")
        except LocalMeshError as error:
            return "spec.username is the requester's own name" in str(error)
        return False

    cluster.wait_for(refused, "the admission policy for CertificateRequests")
    return cluster


def create(cluster: Cluster, thing: dict[str, Any], *flags: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(
        cluster.kubectl("create", *flags, "-o", "json", "-f", "-", input=json.dumps(thing))
    )
    return made


def set_status(cluster: Cluster, thing: dict[str, Any], *flags: str) -> dict[str, Any]:
    text = json.dumps(thing)
    replaced: dict[str, Any] = json.loads(
        cluster.kubectl("replace", "--subresource=status", *flags, "-o", "json", "-f", "-", input=text)
    )
    return replaced


def thing(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def certificate(name: str, **fields: Any) -> dict[str, Any]:
    spec = {"secretName": "s", "issuerRef": {"name": "i"}, "dnsNames": ["a.example"]} | fields
    return thing("Certificate", name, {key: value for key, value in spec.items() if value is not None})


def request(name: str, **fields: Any) -> dict[str, Any]:
    return thing("CertificateRequest", name, {"issuerRef": {"name": "i"}, "request": "aGVsbG8="} | fields)


class TestBesideCertManager:
    @pytest.mark.parametrize("kind", KINDS)
    def test_same_fields(self, kind: str, ours: dict[str, peer.Schema], theirs: dict[str, peer.Schema]) -> None:
        """Every field of cert-manager's API is there with its type and merge rule, and no other is."""
        mine = {path: {word: found.get(word) for word in SHAPE} for path, found in peer.walk(peer.root(ours[kind]))}
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
        for path, found in peer.walk(peer.root(ours[kind])):
            assert sorted(found.get("required", [])) == sorted(other[path].get("required", [])), path

    @pytest.mark.parametrize("kind", KINDS)
    def test_limits(self, kind: str, ours: dict[str, peer.Schema], theirs: dict[str, peer.Schema]) -> None:
        """Limits are cert-manager's, and where ours go further, its webhook says the same."""
        other = dict(peer.walk(peer.root(theirs[kind])))
        further = set()
        for path, found in peer.walk(peer.root(ours[kind])):
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
            (
                certificate("a", literalSubject="CN=a", commonName="a"),
                "literalSubject and commonName exclude each other",
            ),
            (
                certificate("a", literalSubject="CN=a", subject={"countries": ["CH"]}),
                "literalSubject and subject exclude each other",
            ),
            (certificate("a", duration="59m"), "duration is at least 1h"),
            (certificate("a", duration="-24h"), "duration is at least 1h"),
            (certificate("a", duration="soon"), "spec"),
            (certificate("a", duration="1h", renewBefore="1h"), "renewBefore is less than duration"),
            (certificate("a", renewBefore="2160h"), "renewBefore is less than duration"),
            (certificate("a", renewBefore="4m59s"), "renewBefore is at least 5m"),
            (certificate("a", renewBefore="1h", renewBeforePercentage=10), "exclude each other"),
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


class TestCertificateRequests:
    def test_spec_cannot_be_changed(self, served: Cluster, namespace: str) -> None:
        """A CertificateRequest is what its maker asked for, for ever."""
        create(served, request("r"), "-n", namespace)
        patch = '{"spec":{"isCA":true}}'
        with pytest.raises(LocalMeshError, match="spec cannot be changed"):
            served.kubectl("patch", "cr", "r", "-n", namespace, "--type=merge", "-p", patch)

    def test_annotations_cannot_be_changed(self, served: Cluster, namespace: str) -> None:
        """cert-manager's annotations stay as they were made; all others are free."""
        made = request("r")
        made["metadata"]["annotations"] = {"cert-manager.io/certificate-name": "web"}
        create(served, made, "-n", namespace)
        served.kubectl("annotate", "cr", "r", "-n", namespace, "example.com/note=1")
        for change in ("cert-manager.io/certificate-name-", "cert-manager.io/x=1", "acme.cert-manager.io/x=1"):
            with pytest.raises(LocalMeshError, match="cannot be changed once the request is made"):
                served.kubectl("annotate", "cr", "r", "-n", namespace, "--overwrite", change)

    @pytest.mark.parametrize("decision", ["Approved", "Denied"])
    def test_decisions_stay(self, served: Cluster, namespace: str, decision: str) -> None:
        """Approved and Denied can be set once, to True, one of them, and never be taken back or changed."""
        made = create(served, request("r"), "-n", namespace)
        yes = {"type": decision, "status": "True", "reason": "R", "message": "m"}
        other = {"type": "Denied" if decision == "Approved" else "Approved", "status": "True"}
        with pytest.raises(LocalMeshError, match="can only be True"):
            set_status(served, made | {"status": {"conditions": [yes | {"status": "False"}]}})
        with pytest.raises(LocalMeshError, match="exclude each other"):
            set_status(served, made | {"status": {"conditions": [yes, other]}})
        made = set_status(served, made | {"status": {"conditions": [yes]}})
        ready = {"type": "Ready", "status": "False", "reason": "Pending"}
        made = set_status(served, made | {"status": {"conditions": [yes, ready]}})
        for conditions, message in (
            ([ready], f"{decision} cannot be taken back"),
            ([yes | {"message": "other"}], "cannot be changed once set"),
            ([yes, other], "exclude each other"),
        ):
            with pytest.raises(LocalMeshError, match=message):
                set_status(served, made | {"status": {"conditions": conditions}})
        with pytest.raises(LocalMeshError, match=f"{decision} cannot be taken back"):
            set_status(served, made | {"status": {}})

    def test_approval_needs_the_right_to_approve(self, served: Cluster, namespace: str) -> None:
        """The right to write status does not approve; the verb approve on the issuer's signer name does."""
        who = f"approver-{namespace}"
        served.kubectl(
            *("create", "role", "writer", "-n", namespace, "--verb=get,update"),
            "--resource=certificaterequests.cert-manager.io/status,certificaterequests.cert-manager.io",
        )
        served.kubectl("create", "rolebinding", "writer", "-n", namespace, "--role=writer", f"--user={who}")
        cases = {
            "mine": request("mine", issuerRef={"name": "mine"}),
            "theirs": request("theirs", issuerRef={"name": "theirs"}),
            "cluster": request("cluster", issuerRef={"name": "mine", "kind": "ClusterIssuer"}),
            "other": request("other", issuerRef={"name": "mine", "kind": "MyIssuer", "group": "example.com"}),
        }
        made = {name: create(served, wanted, "-n", namespace) for name, wanted in cases.items()}
        conditions = {"conditions": [{"type": "Approved", "status": "True"}]}

        def approve(name: str) -> None:
            set_status(served, made[name] | {"status": conditions}, f"--as={who}")

        pending = {"conditions": [{"type": "Ready", "status": "False"}]}
        made["mine"] = set_status(served, made["mine"] | {"status": pending}, f"--as={who}")
        for name in cases:
            with pytest.raises(LocalMeshError, match=r"needs the verb approve on signers\.cert-manager\.io"):
                approve(name)
        try:
            served.apply(
                f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {who}}}
rules:
- apiGroups: [cert-manager.io]
  resources: [signers]
  verbs: [approve]
  resourceNames: [issuers.cert-manager.io/{namespace}.mine, myissuers.example.com/*]
"""
            )
            served.kubectl("create", "clusterrolebinding", who, f"--clusterrole={who}", f"--user={who}")
            time.sleep(0.5)  # the authorizer's cache
            for name in ("theirs", "cluster"):
                with pytest.raises(LocalMeshError, match="needs the verb approve"):
                    approve(name)
            approve("mine")
            approve("other")
        finally:
            served.kubectl("delete", "clusterrole,clusterrolebinding", who, "--ignore-not-found")

    def test_requester_is_written_by_the_component(self, served: Cluster, namespace: str) -> None:
        """With the component `requester` the API server itself says who asked, whatever the request claims."""
        policy, binding = yaml.safe_load_all((COMPONENT / "requester.yaml").read_text("utf-8"))
        # For this namespace only: the cluster is shared.
        chosen = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        binding["spec"]["matchResources"] = {"namespaceSelector": chosen}
        who = json.loads(served.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]
        forged = request("r", username="system:admin", groups=["system:nobody"], extra={"scopes": ["all"]})

        def accepted() -> dict[str, Any] | None:
            try:
                made = create(served, forged, "-n", namespace, "--dry-run=server")
            except LocalMeshError:  # the policy takes effect a moment after it is stored
                return None
            found: dict[str, Any] = made["spec"]
            return found

        try:
            served.apply("---\n".join(map(yaml.safe_dump, (policy, binding))))
            spec = served.wait_for(accepted, "the admission policy of the component requester")
        finally:
            served.kubectl("delete", "-f", COMPONENT / "requester.yaml")
        assert spec["username"] == who["username"]
        assert spec["groups"] == who["groups"]
        assert spec["uid"] == who.get("uid", "")
        assert spec.get("extra", {}).keys() == who.get("extra", {}).keys()
        assert spec["issuerRef"] == forged["spec"]["issuerRef"]


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
    cluster.apply_kustomize(FOLDER)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    for one in before:
        assert cluster.get(one["kind"], one["metadata"]["name"], "-n", "default") == one
    for kind, name in zip(KINDS, names, strict=True):
        found = cluster.get(name)
        (version,) = found["spec"]["versions"]
        assert version["schema"]["openAPIV3Schema"] == peer.root(ours[kind])
        assert found["metadata"]["annotations"]["mesh-signer.dev/crds"] == "v1"
