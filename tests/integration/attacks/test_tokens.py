"""What a thief of the controllers' token tries on Secrets, Certificates and CertificateRequests, under what we ship.

All that the shipped code writes is tried beside it, made by that code, so that a refusal is one of the attack alone.
"""

import base64
import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest

from signer.api.certificate import Certificate
from signer.api.labels import PART_OF
from signer.certificates.steps import key_secret_body, request_body
from signer.edge.gateways.bodies import by_hand_secret, certificate_body, gateway_secret
from tests.integration.attacks.conftest import Siege, objects
from tests.integration.plain_api import Api, Json, Refused
from tests.localmesh import LocalCluster, kubeconfig
from tests.localmesh.install import COMPONENTS
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SIGNER_ACCOUNT
from tests.unit.edge.gateways.test_bodies import wish

pytestmark = pytest.mark.integration

POLICY = r"controllers-(secrets|certificates|requests)\.mesh-signer\.dev"
GONE = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000001"}
NAME = "cert-manager.io/certificate-name"
PEM = base64.b64encode(b"-----BEGIN EC PRIVATE KEY-----\n").decode()
TEXT = base64.b64encode(b"x").decode()
DRY = "?dryRun=All"
USERS: Json = {
    "apiVersion": "cert-manager.io/v1",
    "kind": "Certificate",
    "metadata": {"name": "users", "namespace": "bar", "uid": "u", "labels": {"team": "a"}, "annotations": {"a/b": "c"}},
    "spec": {
        "secretName": "users",
        "dnsNames": ["a.bar.example"],
        "issuerRef": {"name": "nobody", "kind": "ClusterIssuer"},
        "usages": ["server auth"],
        "isCA": True,
        "duration": "48h0m0s",
    },
}


def plain(body: Json) -> Json:
    """A body as it is sent: bytes are written in base64."""
    found: Json = msgspec.json.decode(msgspec.json.encode(body))
    return found


def secret(name: str, data: Json | None = None, kind: str = "kubernetes.io/tls", **metadata: Any) -> Json:
    held = {"tls.crt": TEXT, "tls.key": TEXT} if data is None else data
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name} | metadata, "type": kind, "data": held}


def account(key: str, **changes: Any) -> Json:
    return secret("account", {key: PEM}, "Opaque", labels=dict(PART_OF)) | changes


def issued(*, labels: Json | None = None, annotations: Json | None = None) -> Json:
    """The Secret of a Certificate, with all forms of its key pair and what its template says."""
    keys = ("tls.crt", "tls.key", "ca.crt", "key.der", "tls-combined.pem")
    stores = ("keystore.p12", "truststore.p12", "keystore.jks", "truststore.jks")
    owner = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "name": "users", "uid": "u", "controller": True}
    return secret(
        "of-another-name",
        dict.fromkeys((*keys, *stores), TEXT),
        labels={"controller.cert-manager.io/fao": "true"} | (labels or {}),
        annotations={NAME: "users"} | (annotations or {}),
        ownerReferences=[owner | {"blockOwnerDeletion": True}],
    )


USER = msgspec.convert(USERS, Certificate)
PAIR = {"tls.crt": b"x", "tls.key": b"y"}
TEMPLATE = {"reflector.v1.k8s.emberstack.com/reflection-auto-enabled": "true", "example.com/any": "x"}
MADE: dict[str, Json] = {
    "the next key": plain(key_secret_body(USER, "users-key-0123abcd", b"x")),
    "a Certificate's Secret": issued(),
    "one with a template": issued(labels={"grafana_dashboard": "1"}, annotations=TEMPLATE),
    "a Gateway's placeholder": gateway_secret(wish(), "bar", source_namespace_uid="u", data=PAIR, placeholder=True),
    "a Gateway's Secret put back": gateway_secret(
        wish(), "bar", source_namespace_uid="u", data=PAIR, placeholder=False
    ),
    "a placeholder for a user's Certificate": by_hand_secret(USER, PAIR),
    "an account's key": account("tls.key"),
    "an account's key under another key": account("my-own.key"),
}
EDGE = certificate_body(wish(), "foo", source_namespace_uid="u", secret_uid="s")
ELSEWHERE = certificate_body(wish(), "bar", source_namespace_uid="u", secret_uid="s")
OWNED = plain(request_body(USER, 3, b"x", "users-key-0123abcd"))


@pytest.fixture(scope="module", params=[SIGNER_ACCOUNT, CONTROLLERS_ACCOUNT])
def either(request: pytest.FixtureRequest, besieged: LocalCluster, siege: Siege) -> Iterator[Api]:
    """One of the two tokens that write the status of SignerPolicies, once the policy for that is in force."""
    found = Api(kubeconfig.read(besieged.service_account_kubeconfig(NAMESPACE, request.param)))
    other = {"status": {"namespaceUIDs": {"bar": "another"}}}
    siege.place.until("the policy of readmissions", lambda: "readmissions" in refusal(found, other))
    yield found
    found.close()


SHOP = "/apis/mesh-signer.dev/v1alpha1/signerpolicies/shop/status"


def refusal(api: Api, status: Json) -> str:
    try:
        api.patch(SHOP + DRY, status)
    except Refused as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    "record",
    [{"bar": "another"}, {"bar": None}, {"bar": ""}, {"bar": "another", "shop": "another"}, None],
    ids=str,
)
def test_no_namespace_is_let_in_again(either: Api, record: Json | None) -> None:
    """What a SignerPolicy means by a name is recorded once: our own tokens cannot make it mean another namespace."""
    assert "readmissions.mesh-signer.dev" in refusal(either, {"status": {"namespaceUIDs": record}})


def test_what_is_recorded(either: Api, admin: Api) -> None:
    """The rest of the status is written as before, names that are new or gone too; people let in whom they want."""
    for status in ({"issued": 7}, {"namespaceUIDs": {"new": "x"}}, {"namespaceCount": 3}):
        assert refusal(either, {"status": status}) == ""
    assert refusal(admin, {"status": {"namespaceUIDs": {"bar": "another"}}}) == ""


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("EdgePolicy", {"hostSuffixes": ["besieged.example.com"], "namespaces": {"names": ["bar", "new"]}}),
        (
            "TenantBridgePolicy",
            {"servers": {"names": ["bar"]}, "clients": [{"namespace": "new", "serviceAccounts": ["gateway"]}]},
        ),
        (
            "TenantBridgePolicy",
            {"servers": {"names": ["new"]}, "clients": [{"namespace": "bar", "serviceAccounts": ["gateway"]}]},
        ),
    ],
    ids=["EdgePolicy", "TenantBridgePolicy's server", "TenantBridgePolicy's client"],
)
def test_nor_by_another_policy(besieged: LocalCluster, siege: Siege, admin: Api, kind: str, spec: Json) -> None:
    """What the other policies mean by a name is recorded once too: the controllers' token cannot give hosts, or a bridge, to another."""
    path = f"/apis/mesh-signer.dev/v1alpha1/{kind.lower().removesuffix('y')}ies"
    body = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": kind, "metadata": {"name": "besieged"}}
    rights = COMPONENTS / "bridges" / "rbac.yaml"
    if kind == "TenantBridgePolicy":
        besieged.apply(rights)
    admin.post(path, body | {"spec": spec})
    admin.patch(f"{path}/besieged/status", {"status": {"namespaceUIDs": {"bar": "first"}}})
    controllers = Api(kubeconfig.read(besieged.service_account_kubeconfig(NAMESPACE, CONTROLLERS_ACCOUNT)))

    def refused(record: Json | None) -> str:
        try:
            controllers.patch(f"{path}/besieged/status{DRY}", {"status": {"namespaceUIDs": record}})
        except Refused as error:
            return error.message
        return ""

    try:
        siege.place.until("the policy of readmissions", lambda: "readmissions" in refused({"bar": "another"}))
        for record in ({"bar": None}, {"bar": ""}, None):
            assert "readmissions.mesh-signer.dev" in refused(record)
        assert refused({"new": "x"}) == ""
        admin.patch(f"{path}/besieged/status", {"status": {"namespaceUIDs": {"bar": "another"}}})
    finally:
        controllers.close()
        admin.delete(f"{path}/besieged")
        if kind == "TenantBridgePolicy":
            besieged.kubectl("delete", "-f", rights)


@pytest.fixture(scope="module")
def admin(siege: Siege) -> Api:
    return siege.place.api


@pytest.fixture(scope="module")
def thief(besieged: LocalCluster, siege: Siege) -> Iterator[Api]:
    """The controllers' token, once the three policies are in force."""
    found = Api(kubeconfig.read(besieged.service_account_kubeconfig(NAMESPACE, CONTROLLERS_ACCOUNT)))
    tries: tuple[tuple[str, Json], ...] = (
        ("secrets", secret("probe", {"a": TEXT}, "Opaque")),
        ("certificates", USERS),
        ("certificaterequests", tampered(OWNED, lambda one: one["metadata"].pop("ownerReferences"))),
    )
    for plural, body in tries:
        siege.place.until(f"the policy of {plural}", partial(denied, found, plural, body))
    yield found
    found.close()


def denied(api: Api, plural: str, body: Json) -> bool:
    try:
        api.post(objects("bar", plural) + DRY, body)
    except Refused as error:
        return "controllers-" in error.message
    return False


def tampered(body: Json, change: Callable[[Json], Any]) -> Json:
    one = copy.deepcopy(body)
    change(one)
    return one


def post(api: Api, plural: str, body: Json, *, keep: bool = False) -> Json:
    namespace = body["metadata"].get("namespace", "bar")
    return api.post(objects(namespace, plural) + ("" if keep else DRY), body)


@pytest.mark.parametrize("what", MADE)
def test_secrets_that_are_made(thief: Api, what: str) -> None:
    """Each Secret that the controllers make may be made."""
    post(thief, "secrets", MADE[what])


WRONG: dict[str, Callable[[Json], Any]] = {
    **{
        f"the data key {key}": lambda one, key=key: one["data"].update({key: TEXT})  # type: ignore[misc]
        for key in ("kubeconfig", "config", "server", "name", "ca-key.pem", "password", ".dockerconfigjson", "token")
    },
    "data as text": lambda one: one.update(stringData={"server": "https://evil"}),
    "a finalizer": lambda one: one["metadata"].update(finalizers=["example.com/f"]),
    "for ever": lambda one: one.update(immutable=True),
    "an owner that is gone": lambda one: one["metadata"].update(ownerReferences=[GONE]),
    "another Certificate as owner": lambda one: (
        one["metadata"].update(
            ownerReferences=[{"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "name": "evil", "uid": "x"}]
        )
        if NAME in one["metadata"].get("annotations", {})
        else one["metadata"].update(ownerReferences=[GONE])
    ),
    "an owner of the same name and another kind": lambda one: one["metadata"].update(
        ownerReferences=[{"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "name": "users", "uid": "x"}]
    ),
    "a label by which istiod reads it": lambda one: (
        one["metadata"].setdefault("labels", {}).update({"istio/multiCluster": "true"})
    ),
}


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("what", MADE)
def test_secrets_of_other_use(thief: Api, what: str, how: str) -> None:
    """None of them may hold, say or belong to more than the controllers make it hold, say and belong to."""
    with pytest.raises(Refused, match=POLICY):
        post(thief, "secrets", tampered(MADE[what], WRONG[how]))


@pytest.mark.parametrize(
    "metadata",
    [
        *({"labels": {key: "x"}} for key in ("grafana_dashboard", "rancher.io/x", "external-secrets.io/x", "owner")),
        *(
            {"annotations": {key: "true"}}
            for key in (
                "reflector.v1.k8s.emberstack.com/reflection-auto-enabled",
                "replicator.v1.mittwald.de/replicate-from",
                "cert-manager.io/allow-direct-injection",
                "helm.sh/hook",
            )
        ),
    ],
    ids=str,
)
def test_labels_of_no_certificates_secret(thief: Api, metadata: Json) -> None:
    """Only what says that it is a Certificate's has labels and annotations of a template."""
    with pytest.raises(Refused, match=POLICY):
        post(thief, "secrets", secret("new", **metadata))


@pytest.mark.parametrize(
    "body",
    [
        account("my-own.key", data={"kubeconfig": TEXT}),
        account("my-own.key", data={"a": PEM, "b": PEM}),
        account("my-own.key", type="kubernetes.io/tls"),
        tampered(account("a"), lambda one: one["metadata"]["labels"].update({"team": "b"})),
        tampered(account("a"), lambda one: one["metadata"].update(annotations={"mesh-signer.dev/placeholder": "true"})),
        tampered(account("a"), lambda one: one["metadata"].pop("labels")),
    ],
    ids=range(6),
)
def test_no_account(thief: Api, body: Json) -> None:
    """Under a key of its own there is an account's key, and nothing that only looks for a way in."""
    with pytest.raises(Refused, match=r"controllers-secrets|tls\.crt"):
        post(thief, "secrets", body)


@pytest.mark.parametrize("how", [*WRONG, "a data key changed", "a data key as it was"])
def test_the_secret_of_a_certificate_changed(thief: Api, admin: Api, how: str, name: str) -> None:
    """What a user put into a Certificate's Secret stays there, and nothing of that kind is added to it."""
    body = issued()
    body["metadata"] |= {"name": name, "labels": {"team": "a"}, "finalizers": ["example.com/mine"]}
    del body["metadata"]["ownerReferences"]
    body["data"]["more"] = TEXT
    path = objects("bar", "secrets", name)
    post(admin, "secrets", body, keep=True)
    try:
        thief.patch(path, {"data": {"tls.crt": PEM}, "metadata": {"labels": {"by": "template"}}})
        body = admin.get(path)
        change = {
            "a data key changed": lambda one: one["data"].update(more=PEM),
            "a data key as it was": lambda one: one["data"].update({"more": TEXT, "ca.crt": PEM}),
        } | WRONG
        after = tampered(body, change[how])
        over: Json = {key: after[key] for key in ("metadata", "data", "immutable", "stringData") if key in after}
        over["metadata"].pop("managedFields")
        if how == "a data key as it was":
            thief.patch(path + DRY, over)
        else:
            if "finalizers" in after["metadata"] and how == "a finalizer":
                over["metadata"]["finalizers"] = ["example.com/mine", "example.com/f"]
            with pytest.raises(Refused, match=POLICY):
                thief.patch(path + DRY, over)
    finally:
        admin.patch(path, {"metadata": {"finalizers": None}})
        admin.delete(path)


@pytest.mark.parametrize("label", ["istio/multiCluster", "argocd.argoproj.io/secret-type"])
def test_an_empty_secret_that_others_read(thief: Api, admin: Api, name: str, label: str) -> None:
    """An admin's empty Secret by whose label others act is not filled; a Certificate's is."""
    path = objects("bar", "secrets", name)
    post(admin, "secrets", secret(name, {}, "Opaque", labels={label: "true"}), keep=True)
    try:
        for data in ({"evil": TEXT}, {"tls.crt": TEXT, "tls.key": TEXT}):
            with pytest.raises(Refused, match=POLICY):
                thief.patch(path + DRY, {"data": data})
        admin.patch(path, {"metadata": {"annotations": {NAME: "users"}}})
        thief.patch(path + DRY, {"data": {"tls.crt": TEXT, "tls.key": TEXT}})
    finally:
        admin.delete(path)


@pytest.mark.parametrize("body", [EDGE, ELSEWHERE], ids=["beside its Gateway", "beside the gateways"])
def test_certificates_that_are_made(thief: Api, admin: Api, body: Json) -> None:
    """The Certificate of a Gateway is made, kept as it should be, and deleted."""
    path = objects(body["metadata"]["namespace"], "certificates", body["metadata"]["name"])
    post(thief, "certificates", body, keep=True)
    try:
        admin.patch(path, {"metadata": {"labels": {"team": "b"}}, "spec": {"privateKey": {"encoding": "PKCS8"}}})
        over = {"dnsNames": ["c.example.com"], "privateKey": {"encoding": None, "size": 384}, "renewBefore": None}
        thief.patch(path, {"spec": over, "metadata": {"labels": {"mesh-signer.dev/edge": "true"}}})
        admin.patch(path, {"spec": {"usages": ["client auth"]}, "metadata": {"finalizers": ["example.com/f"]}})
        thief.patch(path, {"spec": {"commonName": "c.example.com"}})
        for change in (
            {"spec": {"isCA": True}},
            {"spec": {"usages": ["any"]}},
            {"spec": {"secretName": "another"}},
            {"spec": {"secretTemplate": {"labels": {"istio/multiCluster": "true"}}}},
            {"metadata": {"labels": {"team": "c"}}},
            {"metadata": {"finalizers": ["example.com/f", "example.com/g"]}},
            {"metadata": {"ownerReferences": [GONE]}},
        ):
            with pytest.raises(Refused, match=POLICY):
                thief.patch(path + DRY, change)
        admin.patch(path, {"metadata": {"finalizers": None}})
    finally:
        thief.delete(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["metadata"].pop("labels"),
        lambda one: one["metadata"]["labels"].pop("mesh-signer.dev/edge"),
        lambda one: one["metadata"]["labels"].update({"mesh-signer.dev/source-namespace": "shop"}),
        lambda one: one["metadata"]["labels"].update({"example.com/x": "y"}),
        lambda one: one["metadata"]["annotations"].update({"cert-manager.io/issue-temporary-certificate": "true"}),
        lambda one: one["metadata"].pop("ownerReferences"),
        lambda one: one["metadata"].update(ownerReferences=[GONE]),
        lambda one: one["metadata"]["ownerReferences"][0].update(controller=True),
        lambda one: one["metadata"].update(finalizers=["example.com/f"]),
        lambda one: one["metadata"].update(namespace="kube-system"),
        lambda one: one["spec"].update(isCA=True),
        lambda one: one["spec"].update(secretName="cacerts"),
        lambda one: one["spec"].update(usages=["any"]),
        lambda one: one["spec"].update(uris=["spiffe://cluster.local/ns/foo/sa/default"]),
        lambda one: one["spec"].update(secretTemplate={"labels": {"istio/multiCluster": "true"}}),
        lambda one: one["spec"].update(keystores={"jks": {"create": True, "password": "abcdef"}}),
        lambda one: one["spec"]["privateKey"].update(encoding="PKCS8"),
        lambda one: one["spec"].update(subject={"organizations": ["system:masters"]}),
    ],
)  # fmt: skip
def test_certificates_of_other_use(thief: Api, change: Callable[[Json], Any]) -> None:
    """No Certificate is made but that of a Gateway or Ingress, for hosts, as the controllers make it."""
    with pytest.raises(Refused, match=POLICY):
        post(thief, "certificates", tampered(EDGE, change))


def test_users_certificates(thief: Api, admin: Api, name: str) -> None:
    """A user's Certificate is neither changed, taken for ours nor deleted; only its status is written."""
    post(admin, "certificates", tampered(USERS, lambda one: one["metadata"].update(name=name)), keep=True)
    path = objects("bar", "certificates", name)
    try:
        for change in (
            {"spec": {"secretName": "another"}},
            {"spec": {"issuerRef": {"name": "foo"}}},
            {"spec": {"isCA": False}},
            {"spec": {"secretTemplate": {"labels": {"a": "b"}}}},
            {"metadata": {"labels": {"mesh-signer.dev/edge": "true"}}},
            {"metadata": {"annotations": {"cert-manager.io/issue-temporary-certificate": "true"}}},
            {"metadata": {"finalizers": ["example.com/f"]}},
            {"metadata": {"ownerReferences": [GONE]}},
        ):
            with pytest.raises(Refused, match=POLICY):
                thief.patch(path + DRY, change)
        with pytest.raises(Refused, match=POLICY):
            thief.delete(path + DRY)
        thief.patch(f"{path}/status{DRY}", {"status": {"revision": 3}})
    finally:
        admin.delete(path)


def test_requests_that_are_made(thief: Api, admin: Api) -> None:
    """The request of a Certificate is made, answered and deleted; those of users are not touched."""
    for _ in range(20):
        made = post(thief, "certificaterequests", OWNED, keep=True)
        path = objects("bar", "certificaterequests", made["metadata"]["name"])
        try:
            thief.patch(f"{path}/status{DRY}", {"status": {"failureTime": "2026-01-01T00:00:00Z"}})
            thief.delete(path)
        except Refused as error:
            # Its owner does not exist, so the garbage collector deletes it too, and may be quicker.
            if error.code != 404:
                raise
        else:
            break
    else:
        pytest.fail("the garbage collector was quicker each time")
    own = tampered(OWNED, lambda one: one["metadata"].pop("ownerReferences"))
    post(admin, "certificaterequests", own, keep=True)
    with pytest.raises(Refused, match=POLICY):
        thief.delete(path)
    admin.delete(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["metadata"].pop("ownerReferences"),
        lambda one: one["metadata"].update(ownerReferences=[GONE]),
        lambda one: one["metadata"]["ownerReferences"].append(GONE),
        lambda one: one["metadata"]["ownerReferences"][0].update(name="another"),
        lambda one: one["metadata"]["ownerReferences"][0].update(controller=False),
        lambda one: one["metadata"]["annotations"].pop(NAME),
        lambda one: one["metadata"]["annotations"].update({"cert-manager.io/certificate-revision": "x"}),
        lambda one: one["metadata"]["annotations"].update({"cert-manager.io/certificate-revision": "4"}),
        lambda one: one["metadata"].update(finalizers=["example.com/f"]),
    ],
)
def test_requests_of_other_use(thief: Api, change: Callable[[Json], Any]) -> None:
    """No request is made but that of a Certificate."""
    with pytest.raises(Refused, match=POLICY):
        post(thief, "certificaterequests", tampered(OWNED, change))
