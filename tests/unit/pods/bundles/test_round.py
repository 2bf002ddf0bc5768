"""One round over all bundles: what one signer's roots trip up stops no other's."""

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from signer.api.clustertrustbundle import CLUSTER_TRUST_BUNDLES
from signer.api.issuer import IssuerRef
from signer.api.meta import ObjectMeta
from signer.api.signername import signer_name_of
from signer.kube.errors import ApiError, Unreachable
from signer.pods.bundles.controller import NOT_PUBLISHED, TrustBundles
from tests import pki
from tests.fakes.recorder import FakeRecorder
from tests.unit.tenancy.worlds import world

REFS = [IssuerRef("ClusterIssuer", "", f"tenant-{n}") for n in range(6)]
ROOT = pki.CA("root").pem
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

    async def create(self, _resource: object, body: dict[str, Any]) -> None:
        self.made.append(body["spec"]["signerName"])


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
