"""One round over all bundles: what one signer's roots trip up stops no other's."""

import hashlib
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from signer.api.clustertrustbundle import (
    CLUSTER_TRUST_BUNDLES,
    FORMER_ROOTS,
    ClusterTrustBundle,
    ClusterTrustBundleSpec,
    new_bundle,
)
from signer.api.issuer import IssuerRef
from signer.api.meta import ObjectMeta
from signer.api.signername import signer_name_of
from signer.kube.errors import ApiError, Unreachable
from signer.pods.bundles.controller import NOT_PUBLISHED, TrustBundles
from signer.pods.bundles.shares import MOST_OF_A_NAMESPACE
from signer.tenancy.world import World
from tests import pki
from tests.fakes.recorder import FakeRecorder
from tests.unit.tenancy.worlds import binding, world

REFS = [IssuerRef("ClusterIssuer", "", f"tenant-{n}") for n in range(6)]
ROOT = pki.CA("root", now=pki.ANY_TIME, not_after=pki.ANY_TIME + timedelta(days=36_500)).pem
FAULTS: list[Exception] = [
    ValueError("a name"),
    TypeError("a bit string"),
    OverflowError("a date"),
    RecursionError("a nest"),
    Unreachable("away"),
    ApiError(422, "Invalid", "no"),
]


class _Authority:
    key_id = "k"

    def __init__(self, fault: Exception | None) -> None:
        self._fault = fault

    @property
    def root_pem(self) -> bytes:
        if self._fault is not None:
            raise self._fault
        return ROOT


class _Registry:
    def __init__(self, faults: dict[IssuerRef, Exception]) -> None:
        self.states = {
            ref: SimpleNamespace(
                authority=_Authority(faults.get(ref)),
                issuer=SimpleNamespace(metadata=ObjectMeta(name=ref.name, uid=ref.name)),
            )
            for ref in REFS
        }

    def get(self, ref: IssuerRef) -> Any:
        return self.states.get(ref)

    def subscribe(self, _handler: object) -> None:
        pass


class _Client:
    def __init__(self) -> None:
        self.made: list[str] = []
        self.bodies: dict[str, dict[str, Any]] = {}
        self.deleted: list[tuple[str, str, str]] = []

    async def create(self, _resource: object, body: dict[str, Any]) -> None:
        self.made.append(body["spec"]["signerName"])
        self.bodies[body["metadata"]["name"]] = body

    async def patch(self, _resource: object, name: str, body: dict[str, Any]) -> None:
        self.bodies[name] = body

    async def delete(self, _resource: object, name: str, *, uid: str, resource_version: str) -> None:
        self.deleted.append((name, uid, resource_version))


@given(st.dictionaries(st.sampled_from(REFS), st.sampled_from(FAULTS)))
async def test_one_never_stops_the_others(faults: dict[IssuerRef, Exception]) -> None:
    """Whatever fails for some signers, each other has its bundle after the round, and what failed is told on its issuer."""
    client, recorder = _Client(), FakeRecorder()
    mesh = SimpleNamespace(world=world(), subscribe=lambda _handler: None)
    bundles = TrustBundles(
        cast(Any, client), cast(Any, _Registry(faults)), cast(Any, mesh), cast(Any, recorder), lambda: REFS
    )
    served = SimpleNamespace(resource=CLUSTER_TRUST_BUNDLES, known=True, store={})
    await bundles._round(cast(Any, served))
    assert sorted(client.made) == sorted(signer_name_of(ref) for ref in REFS if ref not in faults)
    unforeseen = {ref.name for ref, fault in faults.items() if not isinstance(fault, ApiError | Unreachable)}
    assert {one.name for one in recorder.taken if one.reason == NOT_PUBLISHED} == unforeseen
    assert bundles._changed.is_set() is False


def bundles_of(
    client: _Client, registry: _Registry, asked: list[IssuerRef], known: World | None = None
) -> TrustBundles:
    mesh = SimpleNamespace(world=known or world(), subscribe=lambda _handler: None)
    return TrustBundles(
        cast(Any, client), cast(Any, registry), cast(Any, mesh), cast(Any, FakeRecorder()), lambda: asked
    )


def stored(ref: IssuerRef, former: str = "", pem: str = ROOT.decode()) -> ClusterTrustBundle:
    """The bundle of a signer as the API server has it; `former` is the end of its root, where that is a former one."""
    base = msgspec.convert(new_bundle(signer_name_of(ref)), ClusterTrustBundle)
    digest = hashlib.sha256(x509.load_pem_x509_certificate(ROOT).public_bytes(Encoding.DER)).hexdigest()
    notes = {FORMER_ROOTS: json.dumps({digest: former})} if former else {}
    meta = replace(base.metadata, uid="u", resource_version="7", annotations=notes)
    return ClusterTrustBundle(meta, ClusterTrustBundleSpec(signer_name_of(ref), pem))


async def round_over(bundles: TrustBundles, *there: ClusterTrustBundle) -> None:
    store = {("", one.metadata.name): one for one in there}
    await bundles._round(cast(Any, SimpleNamespace(resource=CLUSTER_TRUST_BUNDLES, known=True, store=store)))


GONE = IssuerRef("Issuer", "bar", "gone")
HELD = {
    "nobody's": ([], world(), True),
    "asked": ([GONE], world(), False),
    "the mesh's": ([], world(signers=frozenset({GONE})), False),
    "owned": ([], world(bindings=(binding(GONE, "bar"),)), False),
}


@pytest.mark.parametrize("case", HELD)
@pytest.mark.parametrize("former", ["", "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
async def test_the_end_of_a_bundle(case: str, former: str) -> None:
    """A bundle whose issuer is gone ends with the last certificate, if nobody asks and no admin or owner stands behind it."""
    asked, known, ends = HELD[case]
    client = _Client()
    await round_over(bundles_of(client, _Registry({}), asked, known), stored(GONE, former))
    name = stored(GONE).metadata.name
    past, young = former.startswith("2020"), not former
    assert client.deleted == ([(name, "u", "7")] if ends and past else [])
    # First its roots are given an end, by which they are known to be former ones.
    assert (name in client.bodies) == (ends and young)
    if ends and young:
        meta = client.bodies[name]["metadata"]
        assert (meta["uid"], meta["resourceVersion"]) == ("u", "7")
        assert FORMER_ROOTS in meta["annotations"]


async def test_an_issuer_that_is_there_keeps_its_bundle() -> None:
    """As long as there is an issuer of the name, ready or not, nothing ends."""
    client, registry = _Client(), _Registry({})
    registry.states[GONE] = SimpleNamespace(authority=None, issuer=SimpleNamespace(metadata=ObjectMeta(name="gone")))
    await round_over(bundles_of(client, registry, []), stored(GONE, "2020-01-01T00:00:00Z"))
    assert (client.deleted, client.bodies) == ([], {})


async def test_many_issuers_of_one_namespace() -> None:
    """Of hundreds of Issuers of one namespace a share has bundles; another's single one is made all the same."""
    many = [IssuerRef("Issuer", "bar", f"m{n:03}") for n in range(150)]
    honest = IssuerRef("Issuer", "zoo", "honest")
    client, registry = _Client(), _Registry({})
    for ref in (*many, honest):
        registry.states[ref] = SimpleNamespace(
            authority=_Authority(None), issuer=SimpleNamespace(metadata=ObjectMeta(name=ref.name, uid=ref.name))
        )
    await round_over(bundles_of(client, registry, [*many, honest]))
    made = set(client.made)
    assert signer_name_of(honest) in made
    assert len(made & {signer_name_of(ref) for ref in many}) == MOST_OF_A_NAMESPACE
