"""Which CAs stand behind the wall: a table over all ways in which a chain can be built, shown and become known.

What is right follows from how each chain was built (`below`), never from what the code finds in it.
"""

import functools
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from issuers.authority import Authority, load_authority
from issuers.chain import was_signed_with
from issuers.errors import InvalidAuthority
from issuers.request import SigningRequest, read_request
from signer.api.issuer import IssuerRef
from signer.tenancy import ca_keys
from signer.tenancy.decide import NOT_JUDGED, Decision, decide
from signer.tenancy.index import Index
from signer.tenancy.verdict import Claim, Grant, Limits, Refuse, Unready
from signer.tenancy.world import Settings, World
from tests import pki
from tests.pki import CA, csr, name, spiffe
from tests.unit.tenancy.indexed import FOO, NOW, mesh, namespace_object

OTHER = IssuerRef("ClusterIssuer", "", "other")
HELPER = IssuerRef("Issuer", "shop", "helper")
Secret = dict[str, bytes]


@functools.cache
def key(kind: str, who: str) -> pki.Key:
    """One key for each kind and holder."""
    return pki.key(kind, n=hash((kind, who)))


def ca(who: str, kind: str, parent: CA | None = None, *, subject: str = "") -> CA:
    """A CA with the key of `who`, and its name unless `subject` says another."""
    return CA(subject or who, private=key(kind, who), parent=parent, now=NOW)


def secret(own: CA, *above: CA, ca_crt: tuple[CA, ...] = ()) -> Secret:
    tls_crt = own.pem + b"".join(one.pem for one in above)
    return {"tls.crt": tls_crt, "tls.key": own.key_pem, "ca.crt": b"".join(one.pem for one in ca_crt)}


def load(data: Secret) -> Authority | None:
    try:
        return load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"] or None, now=NOW)
    except InvalidAuthority:
        return None


@dataclass(frozen=True)
class Case:
    """`other` is the CA that is asked; `below`: so it was built that a mesh root or a mesh CA's key is above it, or it.

    `foo` is the mesh signer's CA, None where only the mesh config is known; `pem` its root there, `helper` one more issuer.
    """

    what: str
    other: Secret
    below: bool
    foo: Secret | None
    pem: str
    helper: Secret | None = None
    own_key: bool = False


def chains(kind: str) -> Iterator[Case]:
    """Depth, fields of the Secret, intermediates, how the mesh's root became known; below the mesh's root and below another."""
    shown = itertools.product((1, 2, 3), ("none", "top", "bundle"), ("own", "all"), ("config", "both", "secret"))
    for depth, ca_crt, tls_crt, known in shown:
        for mine in (True, False):
            root = ca("mesh root" if mine else "unrelated", kind)
            # At depth 3 the mesh's own CA is below the same intermediate, whose certificate its Secret has.
            middle = ca("middle" if mine else "unrelated middle", kind, root)
            line = {1: [root], 2: [ca("other", kind, root), root], 3: [ca("other", kind, middle), middle, root]}[depth]
            meshes_root = ca("mesh root", kind)
            meshes_middle = ca("middle", kind, meshes_root)
            foo = (
                secret(ca("foo", kind, meshes_middle), meshes_middle, ca_crt=(meshes_root,))
                if depth == 3
                else secret(ca("foo", kind, meshes_root), ca_crt=(meshes_root,))
            )
            if depth == 3 and tls_crt == "own" and ca_crt == "none" and known == "config":
                continue  # nothing that anybody shows connects it with the root: test_what_nobody_shows
            tops = {"none": (), "top": (root,), "bundle": (root, ca("one more", kind))}[ca_crt]
            yield Case(
                f"depth {depth}, ca.crt {ca_crt}, tls.crt {tls_crt}, known by {known}, {'mesh' if mine else 'other'}",
                secret(line[0], *(line[1:-1] if tls_crt == "all" else ()), ca_crt=tops),
                mine,
                None if known == "config" else foo,
                "x" if known == "secret" else meshes_root.pem.decode(),
                own_key=depth == 1,
            )


def crossed(kind: str) -> Iterator[Case]:
    """Roots that certify each other, in both directions, and wherever the cross certificate stands."""
    root, stranger = ca("mesh root", kind), ca("stranger", kind)
    pem = root.pem.decode()
    root_by_stranger = ca("mesh root", kind, stranger)
    stranger_by_root = ca("stranger", kind, root)
    below_root, below_stranger = ca("other", kind, root), ca("other", kind, stranger)
    foo = secret(ca("foo", kind, root), ca_crt=(root,))
    yield Case(
        "below a mesh root that another certified",
        secret(below_root, root_by_stranger, ca_crt=(stranger,)),
        True,
        foo,
        pem,
    )
    yield Case("the same, without the top", secret(below_root, root_by_stranger), True, foo, pem)
    yield Case(
        "below one that the mesh root certified",
        secret(below_stranger, stranger_by_root, ca_crt=(root,)),
        True,
        foo,
        pem,
    )
    yield Case("the same, without the top", secret(below_stranger, stranger_by_root), True, foo, pem)
    yield Case(
        "the same, the cross certificate in ca.crt", secret(below_stranger, ca_crt=(stranger_by_root,)), True, foo, pem
    )
    for what, tops in (("root first", (stranger, stranger_by_root)), ("root last", (stranger_by_root, stranger))):
        yield Case(f"the same, both in ca.crt, {what}", secret(below_stranger, ca_crt=tops), True, foo, pem)
        yield Case(
            f"below a stranger in between, both in ca.crt, {what}",
            secret(ca("lowest", kind, below_stranger), below_stranger, ca_crt=tops),
            True,
            foo,
            pem,
        )
    yield Case(
        "the cross certificate of somebody else, beside one's own root",
        secret(ca("other", kind, ca("unrelated", kind)), ca_crt=(ca("unrelated", kind), stranger_by_root)),
        False,
        foo,
        pem,
    )
    yield Case(
        "below a stranger, whose cross certificate stands in a mesh CA's Secret",
        secret(below_stranger, ca_crt=(stranger,)),
        True,
        secret(ca("foo", kind, stranger_by_root), stranger_by_root, ca_crt=(root,)),
        pem,
    )
    yield Case(
        "below a stranger, whose cross certificate stands in a third issuer's Secret",
        secret(below_stranger, ca_crt=(stranger,)),
        True,
        foo,
        pem,
        helper=secret(ca("helper", kind, stranger_by_root), stranger_by_root),
    )
    yield Case("a stranger beside a mesh root", secret(below_stranger, ca_crt=(stranger,)), False, foo, pem)
    yield Case("the same, without the top", secret(below_stranger), False, foo, pem)


def renewed(kind: str) -> Iterator[Case]:
    """Roots made again: with their key, under another name, and a new key under the old name."""
    before = ca("mesh root", kind)
    again = ca("mesh root", kind)
    renamed = ca("mesh root", kind, subject="mesh root 2027")
    rekeyed = ca("new mesh root", kind, subject="mesh root")
    below = ca("other", kind, before)
    below_new = ca("other", kind, rekeyed)
    for what, root in (("renewed with its key", again), ("renewed with its key under another name", renamed)):
        foo = secret(ca("foo", kind, root), ca_crt=(root,))
        for tops in ((), (before,), (root,)):
            yield Case(f"{what}, {len(tops)} in ca.crt", secret(below, ca_crt=tops), True, foo, root.pem.decode())
    foo = secret(ca("foo", kind, rekeyed), ca_crt=(rekeyed,))
    new, both = rekeyed.pem.decode(), (before.pem + rekeyed.pem).decode()
    for shown in (False, True):
        old_secret = secret(below, ca_crt=(before,) if shown else ())
        new_secret = secret(below_new, ca_crt=(rekeyed,) if shown else ())
        yield Case("below the root of before, which the mesh has no more", old_secret, False, foo, new)
        yield Case("below the root of before, beside the new one", old_secret, True, foo, both)
        yield Case("below the new one of the same name", new_secret, True, foo, new)


def keys_of_the_chain(kind: str) -> Iterator[Case]:
    """An intermediate's own key, out of a mesh CA's tls.crt, made a CA of its own; and what is below that."""
    root = ca("mesh root", kind)
    middle = ca("middle", kind, root)
    foo = secret(ca("foo", kind, middle), middle, ca_crt=(root,))
    for known, pem in (("both", root.pem.decode()), ("secret", "x")):
        own = f"the intermediate's key, known by {known}"
        yield Case(own, secret(middle, ca_crt=(root,)), True, foo, pem, own_key=True)
        yield Case(f"{own}, without ca.crt", secret(middle), True, foo, pem, own_key=True)
        self_signed = ca("middle", kind)
        yield Case(f"{own}, self-signed", secret(self_signed), True, foo, pem, own_key=True)
        below = ca("other", kind, middle)
        yield Case(f"below it, known by {known}", secret(below), True, foo, pem)
        yield Case(
            f"below the tenant's own CA, known by {known}",
            secret(ca("other", kind, ca("foo", kind, middle))),
            True,
            foo,
            pem,
        )
    helper = ca("helper", kind, root)
    yield Case(
        "below a CA that is below the root, each without the one above",
        secret(ca("other", kind, helper)),
        True,
        foo,
        root.pem.decode(),
        helper=secret(helper),
    )


KINDS = ("p256", "rsa")
FAMILIES: tuple[Callable[[str], Iterator[Case]], ...] = (chains, crossed, renewed, keys_of_the_chain)


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
