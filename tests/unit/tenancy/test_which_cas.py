"""Which CAs stand behind the wall: a table over all ways in which a chain can be built, shown and become known.

What is right follows from how each chain was built (`below`), never from what the code finds in it.
"""

import functools
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from issuers.authority import Authority
from issuers.chain import was_signed_with
from issuers.request import SigningRequest, read_request
from signer.api.issuer import IssuerRef
from signer.tenancy import ca_keys
from signer.tenancy.decide import Decision, decide
from signer.tenancy.index import Index
from signer.tenancy.mesh_cas import NOT_JUDGED
from signer.tenancy.verdict import Claim, Grant, Limits, Refuse, Unready
from signer.tenancy.world import Settings, World
from tests import pki
from tests.pki import CA, csr, name, spiffe
from tests.unit.tenancy.chains import FAMILIES, HELPER, KINDS, OTHER, Case, ca, load, secret
from tests.unit.tenancy.indexed import FOO, NOW, mesh, namespace_object


def indexed(case: Case, order: tuple[str, ...]) -> tuple[World, Authority | None]:
    """The world after all of the case became known in this order, and the CA that is asked."""
    index = Index(Settings())
    index.world.unsynced = ""
    for space in ("foo", "bar", "cert-manager"):
        index.put_namespace(namespace_object(space))
    loaded = {"foo": load(case.foo) if case.foo else None, "other": load(case.other)}
    loaded["helper"] = load(case.helper) if case.helper else None
    refs = {"foo": FOO, "other": OTHER, "helper": HELPER}
    for what in order:
        if what == "mesh config":
            index.config_maps.put("istio", mesh("foo", pem=case.pem))
        elif (found := loaded[what]) is not None:
            index.put_key(refs[what], found.key_id, found.chain)
        index.settle(NOW)
    return index.world, loaded["other"]


@functools.cache
def _read(request: bytes) -> SigningRequest:
    return read_request(request)


def asked(authority: Authority, request: bytes, **changes: Any) -> Claim:
    values: dict[str, Any] = {
        "requester": "",
        "signer": OTHER,
        "ca_key_id": authority.key_id,
        "request": _read(request),
        "usages": ("server auth",),
        "is_ca": False,
        "lifetime": None,
        "resource": "CertificateRequest",
        "namespace": "bar",
        "root_key_id": authority.root_key_id,
        "chain": authority.chain,
    }
    return Claim(**(values | changes))


SERVER = csr(dns=["shop.example"], subject=name("shop.example"))
TENANTS = csr(uris=[spiffe("foo")])
BELIEVED = (
    TENANTS,
    csr(uris=["SPIFFE://cluster.local/ns/foo/sa/default"]),
    csr(dns=["istiod.istio-system.svc"], subject=name("istiod")),
    csr(dns=["*.istio-system.svc"], subject=name("any")),
)


def believed(authority: Authority) -> Iterator[Claim]:
    """What the mesh's workloads would go by: a tenant's identity, a CA, istiod's name."""
    yield asked(authority, SERVER, is_ca=True)
    yield from (asked(authority, one) for one in BELIEVED)


def judge(claim: Claim, world: World) -> Decision:
    return decide(claim, world, Limits(), fresh=True, now=NOW)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_which_cas(family: Callable[[str], Iterator[Case]], kind: str) -> None:
    """A CA below a key that the mesh trusts gives nobody an identity or a CA, however it is shown; others are left alone."""
    seen = 0
    for case in family(kind):
        for order in itertools.permutations(("mesh config", "foo", "other", *(("helper",) if case.helper else ()))):
            world, authority = indexed(case, order)
            if authority is None:
                continue  # a Secret that is no CA's signs nothing for anybody
            seen += 1
            for claim in believed(authority):
                found = judge(claim, world)
                assert isinstance(found, Refuse if case.below else Grant), (case.what, order, found)
            by_hand = asked(authority, TENANTS, resource="CertificateSigningRequest", requester="eve")
            assert isinstance(judge(by_hand, world), Refuse if case.below else Grant), (case.what, order)
            server = judge(asked(authority, SERVER), world)
            own = case.below and case.own_key
            assert isinstance(server, Refuse if own else Grant), (case.what, order)
            assert isinstance(judge(asked(authority, SERVER, namespace="cert-manager", is_ca=True), world), Grant)
    assert seen > 20


def test_before_it_was_looked_at() -> None:
    """Of a CA whose root is not shown nothing is granted that the mesh believes before it was held against its roots."""
    root = ca("mesh root", "p256")
    authority = load(secret(ca("other", "p256", root)))
    assert authority is not None
    world, _ = indexed(
        Case("", {"tls.crt": b"", "tls.key": b"", "ca.crt": b""}, False, None, root.pem.decode()), ("mesh config",)
    )
    for claim in believed(authority):
        found = judge(claim, world)
        assert isinstance(found, Unready)
        assert found.reason.code == NOT_JUDGED
    assert isinstance(judge(asked(authority, SERVER), world), Grant)
    without = World(settings=Settings(), unsynced="")
    assert all(isinstance(judge(claim, without), Grant) for claim in believed(authority))


def test_what_nobody_shows() -> None:
    """A CA two steps below a mesh root is known as soon as anything in the cluster shows the CA between them."""
    root = ca("mesh root", "p256")
    middle = ca("middle", "p256", root)
    lone = secret(ca("other", "p256", middle))
    pem = root.pem.decode()
    hidden, authority = indexed(Case("", lone, True, None, pem), ("mesh config", "other"))
    assert authority is not None
    assert isinstance(judge(next(believed(authority)), hidden), Grant)  # docs/threat-model.md: what is not defended
    shown = Case("", lone, True, None, (root.pem + middle.pem).decode())
    for order in itertools.permutations(("mesh config", "other")):
        world, _ = indexed(shown, order)
        assert isinstance(judge(next(believed(authority)), world), Refuse)


def test_a_root_that_cannot_be_read_hides_no_other() -> None:
    """Of a text with several certificates each that can be read counts."""
    root = ca("mesh root", "p256")
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    case = Case("", secret(ca("other", "p256", root)), True, None, broken + root.pem.decode())
    world, authority = indexed(case, ("mesh config", "other"))
    assert authority is not None
    assert all(isinstance(judge(claim, world), Refuse) for claim in believed(authority))


@pytest.mark.heavy
def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature is held against few keys, each once; a root with its issuer's name is never left out for that."""
    counted: list[bytes] = []

    def count(fields: Any, spki: bytes) -> bool:
        counted.append(spki)
        return real(fields, spki)

    real = was_signed_with
    monkeypatch.setattr(ca_keys, "was_signed_with", count)
    right = ca("mesh root", "p256")
    strangers = [CA(f"root {number}", private=pki.key("p256", n=number), now=NOW) for number in range(400)]
    authority = load(secret(ca("other", "p256", right)))
    assert authority is not None

    def world_of(*roots: CA) -> tuple[Index, World]:
        index = Index(Settings())
        index.world.unsynced = ""
        entries = "".join(f"- pem: {json.dumps(one.pem.decode())}\n" for one in roots)
        index.config_maps.put("istio", {"mesh": f"caCertificates:\n{entries}"})
        index.put_key(OTHER, authority.key_id, authority.chain)
        index.settle(NOW)
        return index, index.world

    _, world = world_of(*strangers, right)
    assert isinstance(judge(next(believed(authority)), world), Refuse)
    assert len(counted) == 1
    counted.clear()
    index, world = world_of(*strangers)
    assert isinstance(judge(next(believed(authority)), world), Grant)
    assert len(counted) == 256
    counted.clear()
    index.put_key(HELPER, "another", None)
    index.settle(NOW)
    assert not counted
    namesakes = [CA("mesh root", private=pki.key("p256", n=number), now=NOW) for number in range(100)]
    _, world = world_of(*namesakes)
    assert isinstance(judge(next(believed(authority)), world), Refuse)
    assert not counted


def test_towers() -> None:
    """Of CAs below CAs, each without the one above it, none is granted anything, however many and in whatever order."""
    root = ca("mesh root", "p256")
    line = [CA("floor 0", private=pki.key("p256", n=500), parent=root, now=NOW)]
    for number in range(1, 20):
        line.append(CA(f"floor {number}", private=pki.key("p256", n=500 + number), parent=line[-1], now=NOW))
    floors = [found for one in line if (found := load(secret(one))) is not None]
    assert len(floors) == 20
    for order in (floors, floors[::-1]):
        index = Index(Settings())
        index.world.unsynced = ""
        index.config_maps.put("istio", mesh("foo", pem=root.pem.decode()))
        index.settle(NOW)
        for number, one in enumerate(order):
            index.put_key(IssuerRef("Issuer", "shop", f"floor-{number}"), one.key_id, one.chain)
        index.settle(NOW)
        for one in floors:
            assert not any(isinstance(judge(claim, index.world), Grant) for claim in believed(one))


@pytest.mark.parametrize("top_shown", [True, False])
@pytest.mark.parametrize("tenants", [True, False])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_tenant_puts_nobody_behind_the_wall(depth: int, tenants: bool, top_shown: bool) -> None:
    """What a tenant puts above its own CA counts where the mesh trusts it; a stranger's CA stays what it was."""
    root, corporate = ca("mesh root", "p256"), ca("corporate root", "p256")
    signer = IssuerRef("Issuer", "bar", "ca") if tenants else FOO

    def above(top: CA) -> list[CA]:
        line = [top]
        for step in range(1, depth):
            line.insert(0, ca(f"{top.certificate.subject.rfc4514_string()} {step}", "p256", line[0]))
        return line

    for honest in (True, False):
        line = above(root if honest else corporate)
        own = load(secret(ca("tenant", "p256", line[0]), *line[:-1], ca_crt=tuple(line[-1:]) if top_shown else ()))
        other = load(secret(line[0], *line[1:-1], ca_crt=(line[-1],)))
        assert own is not None
        assert other is not None
        index = Index(Settings())
        index.world.unsynced = ""
        entry = f"issuers.cert-manager.io/{signer.namespace}.{signer.name}" if tenants else ""
        text = mesh("foo", pem=root.pem.decode())["mesh"]
        index.config_maps.put(
            "istio", {"mesh": text.replace("clusterissuers.cert-manager.io/foo", entry) if entry else text}
        )
        index.put_key(signer, own.key_id, own.chain)
        index.put_key(OTHER, other.key_id, other.chain)
        index.settle(NOW)
        found = judge(asked(other, TENANTS), index.world)
        shut = honest or (not tenants and (top_shown or depth == 2))
        assert isinstance(found, Refuse if shut else Grant), (honest, found)


@pytest.mark.parametrize("roots_shown", [True, False])
@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("deep", [True, False])
def test_a_cross_certificate_puts_nobody_behind_the_wall(roots_shown: bool, turned: bool, deep: bool) -> None:
    """What another root certified of a tenant's CA makes that root nobody's: what is below it is judged as before."""
    root, corporate = ca("mesh root", "p256"), ca("corporate root", "p256")
    department = ca("department", "p256", corporate)
    signer = IssuerRef("Issuer", "bar", "ca")
    issues = [ca("tenant", "p256", root), ca("tenant", "p256", department if deep else corporate)]
    first, second = issues[:: -1 if turned else 1]
    more = (department,) if deep else ()
    tops = (root, corporate) if roots_shown else ()
    own = load(secret(first, second, *more, ca_crt=tops))
    strangers = [load(secret(ca("other", "p256", one), ca_crt=(corporate,))) for one in (corporate,)]
    strangers.append(load(secret(ca("another", "p256", department), department, ca_crt=(corporate,))))
    assert own is not None
    index = Index(Settings())
    index.world.unsynced = ""
    text = mesh("foo", pem=root.pem.decode())["mesh"]
    entry = "issuers.cert-manager.io/bar.ca"
    index.config_maps.put("istio", {"mesh": text.replace("clusterissuers.cert-manager.io/foo", entry)})
    index.put_key(signer, own.key_id, own.chain)
    index.settle(NOW)
    for one in strangers:
        assert one is not None
        index.put_key(OTHER, one.key_id, one.chain)
        index.settle(NOW)
        assert isinstance(judge(asked(one, TENANTS), index.world), Grant)
    below = load(secret(ca("below", "p256", issues[0]), issues[0], ca_crt=(root,)))
    assert below is not None
    index.put_key(OTHER, below.key_id, below.chain)
    index.settle(NOW)
    assert isinstance(judge(asked(below, TENANTS), index.world), Refuse)
