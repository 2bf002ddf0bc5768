"""CertificateRequests: the order of checks, one thing changed at a time, and the statuses that come of it."""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509

from issuers.authority import load_authority
from issuers.certificate import self_sign, template_for
from issuers.compose import compose_request
from issuers.private_key import encode_key
from issuers.request import read_request
from issuers.x509.subject import Subject
from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import Issuer, IssuerRef
from signer.api.labels import EDGE_LABEL, SOURCE_NAMESPACE
from signer.authorities.state import IssuerState
from signer.certificates.requests import status as request_status
from signer.certificates.requests import steps
from signer.certificates.requests.signing import Contradiction, Signed, decide_request, prepare, sign_request
from signer.certificates.spec.check import spec_defect
from signer.kube.encoding.codec import JsonCodec
from signer.tenancy.verdict import Grant, Limits, Refuse
from signer.tenancy.world import without_wall
from tests.unit.certificates import samples
from tests.unit.certificates.samples import NOW, Json

APPROVED: Json = {"type": "Approved", "status": "True", "reason": "cert-manager.io"}


def request(*, conditions: list[Json] | None = None, notes: Json | None = None, **spec: Any) -> CertificateRequest:
    """An approved request to ClusterIssuer root, with other fields of the spec or other conditions."""
    body = samples.request_json()
    body["status"] = {"conditions": [APPROVED] if conditions is None else conditions}
    body["spec"] = {k: v for k, v in (body["spec"] | spec).items() if v is not None}
    if notes is not None:
        body["metadata"]["annotations"] = notes
    return msgspec.convert(body, CertificateRequest)


def state(kind: str = "ca", **changes: Any) -> IssuerState:
    specs: dict[str, Json] = {"ca": {"ca": {"secretName": "s"}}, "selfSigned": {"selfSigned": {}}}
    issuer = msgspec.convert({"metadata": {"name": "root"}, "spec": specs.get(kind, {})}, Issuer)
    fields: Json = {"ready": True, "reason": "KeyPairVerified", "message": ""} | changes
    return IssuerState(issuer.ref, issuer, kind, **fields)  # type: ignore[arg-type]  # the tests' kinds are good ones


def consider(asked: CertificateRequest, found: IssuerState | None = None, **more: Any) -> steps.Step:
    known = {IssuerRef("ClusterIssuer", "", "root"): found or state()}
    return steps.consider(asked, known.get, auto_approve=more.pop("auto_approve", True), **more)


def test_the_sample_is_signed() -> None:
    """An approved request to a ready CA is signed, with its lifetime."""
    step = consider(request())
    assert isinstance(step, steps.Sign)
    assert step.lifetime == timedelta(hours=2160)
    assert step.key is None


def ready(reason: str, status: str = "False") -> Json:
    return {"type": "Ready", "status": status, "reason": reason}


DENIED: Json = {"type": "Denied", "status": "True"}
INVALID: Json = {"type": "InvalidRequest", "status": "True"}


@pytest.mark.parametrize(
    ("conditions", "step"),
    [
        ([], steps.Approve),
        ([APPROVED | {"status": "False"}], steps.Approve),
        ([ready("Pending")], steps.Approve),
        ([APPROVED, ready("Pending")], steps.Sign),
        ([APPROVED, ready("Failed")], steps.Nothing),
        ([APPROVED, ready("Issued", "True")], steps.Nothing),
        ([ready("Failed")], steps.Nothing),
        ([DENIED], steps.MarkDenied),
        ([APPROVED, DENIED], steps.MarkDenied),
        ([DENIED, ready("Denied")], steps.Nothing),
        ([DENIED, ready("Pending")], steps.MarkDenied),
        ([APPROVED, INVALID], steps.Nothing),
    ],
)
def test_conditions(conditions: list[Json], step: type) -> None:
    """What approvers and issuers said decides first; a denial beats an approval, what is settled stays."""
    assert type(consider(request(conditions=conditions))) is step


def test_no_automatic_approval() -> None:
    """With automatic approval off a request waits for somebody's word."""
    assert isinstance(consider(request(conditions=[]), auto_approve=False), steps.AwaitApproval)
    assert isinstance(consider(request(), auto_approve=False), steps.Sign)


def test_left_alone() -> None:
    """Deleted requests, answered ones and those of other groups are not worked."""
    answered = samples.request_json()
    answered["status"]["conditions"] = [APPROVED]
    assert isinstance(consider(msgspec.convert(answered, CertificateRequest)), steps.Nothing)
    foreign = {"name": "root", "kind": "ClusterIssuer", "group": "example.com"}
    assert isinstance(consider(request(issuerRef=foreign)), steps.Nothing)
    assert isinstance(consider(request(issuerRef=foreign, conditions=[DENIED])), steps.Nothing)
    leaving = samples.request_json() | {"status": {"conditions": [APPROVED]}}
    leaving["metadata"]["deletionTimestamp"] = "2026-06-01T12:00:00Z"
    assert isinstance(consider(msgspec.convert(leaving, CertificateRequest)), steps.Nothing)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (state("", ready=False, reason="IssuerTypeMissing"), "IssuerTypeMissing"),
        (state(ready=False, reason="ErrGetKeyPair"), "IssuerNotReady"),
        (state("vault", ready=False, reason="UnsupportedField"), "IssuerNotReady"),
        (state(ready=False, reason="Pending"), "Pending"),
    ],
)
def test_waits_for_the_issuer(found: IssuerState, reason: str) -> None:
    """An issuer that cannot sign now is waited for."""
    step = consider(request(), found)
    assert isinstance(step, steps.Pend)
    assert step.reason == reason


@pytest.mark.parametrize(
    ("reference", "there", "advice"),
    [
        (
            {"name": "ca"},
            "ClusterIssuer",
            "there is a ClusterIssuer ca: spec.issuerRef.kind is left out, which means Issuer",
        ),
        (
            {"name": "ca", "kind": "Issuer"},
            "ClusterIssuer",
            "there is a ClusterIssuer ca: spec.issuerRef.kind is Issuer",
        ),
        (
            {"name": "ca", "kind": "ClusterIssuer"},
            "Issuer",
            "there is an Issuer ca in this namespace: spec.issuerRef.kind is",
        ),
        ({"name": "ca"}, "Issuer", ""),
        ({"name": "ca"}, "", ""),
    ],
)
def test_another_kind_was_meant(reference: Json, there: str, advice: str) -> None:
    """Where an issuer of the other kind has the name, the message says so, and which kind to set."""
    step = steps.consider(
        request(issuerRef=reference), lambda _: None, auto_approve=True, exists=lambda ref: ref.kind == there
    )
    assert isinstance(step, steps.Pend)
    assert step.reason == "IssuerNotFound"
    assert advice in step.message
    assert ("set it to" in step.message) == bool(advice)


def test_no_such_issuer() -> None:
    """An issuer that is not there is waited for; namespace and kind are part of its name."""
    for reference in ({"name": "none", "kind": "ClusterIssuer"}, {"name": "root", "kind": "Issuer"}, {"name": "root"}):
        step = consider(request(issuerRef=reference))
        assert isinstance(step, steps.Pend)
        assert step.reason == "IssuerNotFound"


def pem_without_end(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"issuerRef": {"name": "root", "kind": "Thing"}}, "spec.issuerRef"),
        ({"issuerRef": {"kind": "ClusterIssuer"}}, "spec.issuerRef"),
        ({"duration": "soon"}, "spec.duration"),
        ({"duration": "0s"}, "spec.duration"),
        ({"duration": "-1h"}, "spec.duration"),
        ({"duration": "9000000h"}, "spec.duration"),
        ({"request": pem_without_end(b"junk")}, "spec.request"),
        ({"request": None}, "spec.request"),
        ({"usages": "server auth"}, "spec.usages"),
    ],
)
def test_never(spec: Json, said: str) -> None:
    """What nobody could ever sign is settled as invalid, and the message names the field."""
    step = consider(request(**spec))
    assert isinstance(step, steps.Fail)
    assert step.invalid
    assert said in step.message


def test_self_signed() -> None:
    """A selfSigned issuer asks for the key that the annotation names, and signs only with the request's own."""
    notes = {"cert-manager.io/private-key-secret-name": "keys"}
    own = state("selfSigned")
    assert consider(request(notes=notes), own) == steps.AskKey("keys")
    for missing in ({}, {"cert-manager.io/private-key-secret-name": ""}):
        step = consider(request(notes=missing), own)
        assert isinstance(step, steps.Fail)
        assert (step.reason, step.invalid) == ("MissingAnnotation", False)
    signed = consider(request(notes=notes), own, key=samples.key(0))
    assert isinstance(signed, steps.Sign)
    assert signed.key is samples.key(0)
    other = consider(request(notes=notes), own, key=samples.key(1))
    assert isinstance(other, steps.Fail)
    assert other.reason == "ErrorKeyMatch"
    waits = consider(request(notes=notes), own, key=steps.NoKey())
    assert isinstance(waits, steps.Pend)
    assert waits.reason == "MissingSecret"


def test_a_broken_key() -> None:
    """A Secret that is there without a usable key is told apart from a missing one, and waited for."""
    notes = {"cert-manager.io/private-key-secret-name": "keys"}
    waits = consider(request(notes=notes), state("selfSigned"), key=steps.NoKey(broken=True))
    assert isinstance(waits, steps.Pend)
    assert waits.reason == "ErrorParsingKey"


@pytest.mark.parametrize("mesh", [True, False])
def test_one_block_for_the_mesh(mesh: bool) -> None:
    """A text around the block, or another label, is refused by a signer of the mesh and taken by every other."""
    text = base64.b64decode(samples.request_json()["spec"]["request"])
    for form in (b"text\n" + text, text.replace(b" CERT", b" NEW CERT"), text + b"text\n"):
        asked = request(request=base64.b64encode(form).decode())
        step = consider(asked, in_mesh=lambda _: mesh)
        assert isinstance(step, steps.Fail if mesh else steps.Sign)
    assert isinstance(consider(request(), in_mesh=lambda _: mesh), steps.Sign)


class TestStatus:
    @staticmethod
    def conditions(patch: request_status.StatusPatch) -> dict[str, tuple[str, str]]:
        assert patch.body["metadata"] == {"resourceVersion": "50"}
        return {c["type"]: (c["status"], c["reason"]) for c in patch.body["status"]["conditions"]}

    def test_approved(self) -> None:
        """Approval is given in cert-manager's name."""
        patch = request_status.approved(request(conditions=[]), NOW)
        assert patch.changed
        assert self.conditions(patch) == {"Approved": ("True", "cert-manager.io")}

    def test_pending(self) -> None:
        """Pending is written once for each message."""
        patch = request_status.pending(request(), "waiting", NOW)
        assert self.conditions(patch)["Ready"] == ("False", "Pending")
        assert "failureTime" not in patch.body["status"]
        again = request(conditions=patch.body["status"]["conditions"])
        assert not request_status.pending(again, "waiting", NOW + timedelta(hours=1)).changed
        assert request_status.pending(again, "still waiting", NOW).changed

    @pytest.mark.parametrize(
        ("compose", "expected"),
        [
            (lambda r: request_status.denied(r, NOW), {"Ready": ("False", "Denied")}),
            (lambda r: request_status.failed(r, "no", NOW), {"Ready": ("False", "Failed")}),
            (
                lambda r: request_status.failed(r, "no", NOW, invalid="Bad"),
                {"Ready": ("False", "Failed"), "InvalidRequest": ("True", "Bad")},
            ),
        ],
    )
    def test_failures(
        self, compose: Callable[[CertificateRequest], request_status.StatusPatch], expected: Json
    ) -> None:
        """Each final failure has its condition, and the time of the first failure stays."""
        patch = compose(request(conditions=[]))
        assert patch.changed
        assert self.conditions(patch) == expected
        assert patch.body["status"]["failureTime"] == "2026-06-01T12:00:00Z"
        body = samples.request_json()
        body["status"] = {"conditions": [], "failureTime": "2026-01-01T00:00:00Z"}
        kept = compose(msgspec.convert(body, CertificateRequest))
        assert kept.body["status"]["failureTime"] == "2026-01-01T00:00:00Z"

    def test_issued(self) -> None:
        """Certificate, root and condition are one write; without a root there is no ca."""
        patch = request_status.issued(request(), Signed(b"chain", b"root"), NOW)
        assert self.conditions(patch)["Ready"] == ("True", "Issued")
        assert (patch.body["status"]["certificate"], patch.body["status"]["ca"]) == (b"chain", b"root")
        assert patch.changed
        assert "ca" not in request_status.issued(request(), Signed(b"chain", b""), NOW).body["status"]


def authority() -> Any:
    csr = compose_request(samples.key(9), subject=Subject(common_name="root"), is_ca=True)
    template = template_for(
        read_request(csr), usages=(), duration=timedelta(days=365), is_ca=True, now=NOW, add_cert_sign=True
    )
    issued = self_sign(template, samples.key(9), serial=1)
    return load_authority(issued.pem, encode_key(samples.key(9)), None, now=NOW)


def sign(
    asked: CertificateRequest, found: IssuerState, *, limits: Limits | None = None, key: Any = None
) -> Signed | Refuse:
    csr = read_request(asked.spec.request)
    lifetime = timedelta(hours=1)
    grant = decide_request(
        asked, csr, found, world=without_wall(), lifetime=lifetime, limits=limits or Limits(), now=NOW
    )
    if not isinstance(grant, Grant):
        assert isinstance(grant, Refuse)
        return grant
    return sign_request(asked, csr, found, grant, key=key, now=NOW, serial=77)


class TestSigning:
    def test_by_a_ca(self) -> None:
        """The CA signs the key and names of the request for its lifetime; the root comes along apart."""
        ca = authority()
        signed = sign(request(), state(authority=ca))
        assert isinstance(signed, Signed)
        (leaf,) = x509.load_pem_x509_certificates(signed.certificate)
        (root,) = x509.load_pem_x509_certificates(signed.ca)
        leaf.verify_directly_issued_by(root)
        assert leaf.serial_number == 77
        assert leaf.not_valid_before_utc == NOW
        assert leaf.not_valid_after_utc == NOW + timedelta(hours=1)

    def test_a_ca_may_sign_certificates(self) -> None:
        """A request for a CA gets the usage that a CA needs, though it does not name it."""
        signed = sign(request(isCA=True, request=request_of_a_ca(), usages=[]), state(authority=authority()))
        assert isinstance(signed, Signed)
        leaf = x509.load_pem_x509_certificates(signed.certificate)[0]
        assert leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca

    def test_by_itself(self) -> None:
        """A self-signed certificate is its own CA; without a key there is none."""
        signed = sign(request(), state("selfSigned"), key=samples.key(0))
        assert isinstance(signed, Signed)
        assert signed.certificate == signed.ca
        assert isinstance(sign(request(), state("selfSigned")), Refuse)

    def test_usages_must_fit(self) -> None:
        """Usages that differ from those in the CSR are refused, naming the field."""
        refused = sign(request(usages=["code signing"]), state(authority=authority()))
        assert isinstance(refused, Refuse)
        assert refused.code == "SigningError"
        assert "usages" in refused.message

    def test_the_wall(self) -> None:
        """Every signature passes the wall: what it refuses is not signed."""
        no_cas = Limits(allow_ca_requests=False)
        asked = request(isCA=True, request=request_of_a_ca(), usages=[])
        assert isinstance(sign(asked, state(authority=authority()), limits=no_cas), Refuse)


def request_of_a_ca() -> str:
    csr = compose_request(samples.key(0), subject=Subject(common_name="sub"), is_ca=True)
    return base64.b64encode(csr).decode()


@pytest.mark.parametrize("approve", [True, False])
def test_what_is_too_large_is_told_and_left_alone(approve: bool) -> None:
    """Of a request that is too large to be read the status is not known either: nothing is approved or refused over it."""
    whole = {"metadata": {"name": "r", "namespace": "ns", "uid": "u"}, "spec": {"request": "x" * 300}, "status": {}}
    event = msgspec.json.encode({"type": "ADDED", "object": whole})
    found = JsonCodec(CertificateRequest, largest=200).decode_event(event).object
    assert found is not None
    step = steps.consider(found, lambda _ref: None, auto_approve=approve)
    assert isinstance(step, steps.Tell)
    assert "make it smaller" in step.message


class TestGroups:
    """Issuers of other groups are others' to sign; a group that is nearly ours is a slip, whoever reads it."""

    @pytest.mark.parametrize(
        "group",
        [
            "certmanager.io", "certmanager.k8s.io", "cert-manager.k8s.io", "cert-manger.io", "cert-manager.oi",
            "Cert-Manager.io", "cert-managers.io", "cert_manager.io", "cert-manager.i",
        ],
    )  # fmt: skip
    def test_a_slip(self, group: str) -> None:
        """It is neither approved nor signed nor failed, its people are told; the Certificate that has it is InvalidSpec."""
        reference = {"name": "root", "kind": "ClusterIssuer", "group": group}
        defect = spec_defect(samples.certificate(issuerRef=reference))
        assert defect is not None
        assert defect.reason == "InvalidSpec"
        assert defect.message.startswith("spec.issuerRef.group: ")
        assert "is cert-manager.io meant?" in defect.message
        approved: list[list[Json]] = [[], [APPROVED]]
        for conditions in approved:
            step = consider(request(issuerRef=reference, conditions=conditions))
            assert step == steps.Tell("InvalidRequest", defect.message)

    @pytest.mark.parametrize(
        "group",
        [
            "awspca.cert-manager.io", "certmanager.step.sm", "cas-issuer.jetstack.io", "cert-manager.k8s.cloudflare.com",
            "certmanager.freeipa.org", "cert-manager.skyscanner.net", "example.com", "x.cert-manager.io",
        ],
    )  # fmt: skip
    def test_other_controllers(self, group: str) -> None:
        """Another controller's group is approved as any other, and then left alone; a Certificate may name it."""
        reference = {"name": "root", "kind": "Thing", "group": group}
        assert isinstance(consider(request(issuerRef=reference, conditions=[])), steps.Approve)
        assert isinstance(consider(request(issuerRef=reference)), steps.Nothing)
        assert spec_defect(samples.certificate(issuerRef=reference)) is None


@pytest.mark.parametrize("kind", ["Issuer", "ClusterIssuer"])
@pytest.mark.parametrize("there", [True, False])
def test_a_gateways_annotation(kind: str, there: bool) -> None:
    """Where the Certificate is ours, made for a Gateway, the message names the annotation and no field of the Certificate."""
    made = request(issuerRef={"name": "ca", "kind": kind})
    labels = {EDGE_LABEL: "true", SOURCE_NAMESPACE: "shop"}
    made = msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, labels=labels))
    step = steps.consider(made, lambda _: None, auto_approve=True, exists=lambda _: there)
    assert isinstance(step, steps.Pend)
    own, other = ("issuer", "cluster-issuer") if kind == "Issuer" else ("cluster-issuer", "issuer")
    assert f"the annotation cert-manager.io/{own}," in step.message
    assert (f"named by cert-manager.io/{other}" in step.message) == there
    assert "namespace shop" in step.message
    assert "spec.issuerRef" not in step.message


@pytest.mark.parametrize(
    ("spec", "issuer", "own"),
    [
        ({"isCA": True}, {}, True),
        ({"usages": ["client auth"]}, {}, True),
        ({}, {"crlDistributionPoints": ["http://caf\u00e9"]}, False),
    ],
)
def test_who_can_mend_what_makes_no_certificate(spec: Json, issuer: Json, own: bool) -> None:
    """A spec that its own CSR contradicts is the request's matter; what an issuer adds is others', who may mend it."""
    body = samples.request_json()
    body["spec"] |= spec
    asked = msgspec.convert(body, CertificateRequest)
    found = msgspec.convert({"metadata": {"name": "root"}, "spec": {"selfSigned": issuer}}, Issuer)
    by = IssuerState(IssuerRef("ClusterIssuer", "", "root"), found, "selfSigned", ready=True, reason="x", message="")
    grant = Grant(lifetime=timedelta(hours=1))
    csr = read_request(asked.spec.request, one_block=False)
    refused = prepare(asked, csr, by, grant, now=samples.NOW)
    assert isinstance(refused, Refuse)
    assert refused.code == "SigningError"
    assert isinstance(refused, Contradiction) is own
