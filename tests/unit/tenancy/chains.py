"""CAs and chains of every form that a mesh may meet, each with what is below a mesh root in it.

What is right follows from how each chain was built (`below`), never from what the code finds in it.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from issuers.authority import Authority, load_authority
from issuers.errors import InvalidAuthority
from signer.api.issuer import IssuerRef
from tests import pki
from tests.pki import CA
from tests.unit.tenancy.indexed import NOW

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
    twice = (below_stranger, ca("other", kind, root))
    for turned in (False, True):
        own, again = twice[:: -1 if turned else 1]
        for count, roots in enumerate(((), (root, stranger), (root,) if turned else (stranger,))):
            shown = f"certified by a stranger and by a mesh root, turned {turned}, {count}"
            yield Case(shown, secret(own, again, ca_crt=roots), True, foo, pem)
    middle = ca("middle", kind, root)
    yield Case(
        "certified by a stranger, and by a CA below a mesh root",
        secret(below_stranger, ca("other", kind, middle), middle, ca_crt=(stranger,)),
        True,
        foo,
        pem,
    )
    yield Case(
        "below a stranger that a mesh root certified, the stranger in ca.crt",
        secret(below_stranger, stranger_by_root, ca_crt=(stranger,)),
        True,
        foo,
        pem,
    )
    yield Case(
        "below a stranger, who certified a mesh CA too",
        secret(below_stranger, ca_crt=(stranger,)),
        True,
        secret(ca("foo", kind, root), ca("foo", kind, stranger), ca_crt=(root, stranger)),
        pem,
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
