"""What is asked for many signers, policies or namespaces at once costs as many steps for each as for a few."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from signer.api.issuer import IssuerRef
from signer.tenancy.coverage import read_coverage
from signer.tenancy.index import Index
from signer.tenancy.routes import policies_about
from signer.tenancy.shared import by_key, has_the_ca_of
from signer.tenancy.world import Namespace, Policy, Settings, World
from tests.steps import steps
from tests.unit.tenancy.indexed import namespace_object, policy

FEW, MANY = 40, 400


def refs(count: int) -> list[IssuerRef]:
    return [IssuerRef("ClusterIssuer", "", f"tenant-{n}") for n in range(count)]


def cas_in_common(count: int) -> Callable[[], object]:
    """Who has whose CA, asked of each signer, as a round over the roots does."""
    keys = {ref: ref.name for ref in refs(count)}
    having, found = by_key(keys), World()
    return lambda: [has_the_ca_of(found, ref, key_id, having) for ref, key_id in keys.items()]


def turned_round(count: int) -> Callable[[], object]:
    """Which signers have each key."""
    keys = {ref: ref.name for ref in refs(count)}
    return lambda: by_key(keys)


def labelled(count: int) -> Index:
    """A policy for each tenant by two labels, of which all have the first one in common."""
    index = Index(Settings())
    for n in range(count):
        labels = {"mesh-signer.dev/env": "prod", "mesh-signer.dev/tenant": f"t{n}"}
        index.put_namespace(namespace_object(f"n{n}", **labels))
        given = {"namespaces": {"matchLabels": labels}}
        index.put_policy(policy(f"p{n}", f"tenant-{n}", **given))
    return index


def policies_of_each(count: int) -> Callable[[], object]:
    """Which policies are about a namespace, asked of each: as for each request that is routed."""
    world = labelled(count).world
    for name, exists in world.namespaces.items():
        assert len(policies_about(world, name, exists)) == 1
    return lambda: [policies_about(world, name, exists) for name, exists in world.namespaces.items()]


@pytest.mark.parametrize("work", [cas_in_common, turned_round, policies_of_each], ids=lambda one: one.__name__)
def test_as_many_for_each(work: Callable[[int], Callable[[], object]]) -> None:
    """Ten times as many take ten times the steps, and not a hundred times."""
    few, many = steps(work(FEW)), steps(work(MANY))
    assert many < few * 2 * MANY / FEW


def test_one_that_goes() -> None:
    """A policy is taken out of those that ask for the same label without a look at the others."""

    def removed(count: int) -> int:
        index = labelled(count)
        return steps(lambda: index.remove_policy("p3"))

    assert removed(MANY) < 2 * removed(FEW)


def test_limits_are_read_once() -> None:
    """However many namespaces several policies share, what each allows is put together once."""
    namespaces = {f"n{n}": Namespace(f"u{n}", {}) for n in range(MANY)}
    (signer,) = refs(1)

    def listed(count: int) -> list[Policy]:
        return [
            Policy(
                f"p{n}",
                frozenset({signer}),
                namespaces=frozenset(namespaces),
                remade_allowed=True,
                max_lifetime=timedelta(hours=n + 1),
            )
            for n in range(count)
        ]

    def covered(count: int) -> int:
        asked = listed(count)
        return steps(
            lambda: read_coverage(
                asked,
                namespaces,
                frozenset({signer}),
                istio_namespace="istio-system",
                holders=lambda _: frozenset(),
                defaults=frozenset(),
                trust_domains=frozenset(),
                istiods=frozenset(),
            )
        )

    pairs = 45 * MANY  # of ten policies, in each namespace
    assert covered(10) - 10 * covered(1) < pairs * 40
