"""What one decision of the wall costs, in microseconds of CPU, in a mesh of 1,000 signers and 10,000 namespaces.

    .venv/bin/python -m benchmarks.decide_cost

No network. Each figure is the best of several rounds, so that a neighbour on the machine does not count. For scale:
the whole way from a CSR's bytes to its certificate is measured beside it (benchmarks/issue_cost.py has its parts).
"""

import sys
from datetime import UTC, datetime, timedelta

from benchmarks.issue_cost import authority, cost
from issuers.certificate import new_serial, sign
from issuers.istio_request import uri_name
from issuers.request import SigningRequest, read_request
from issuers.template import mesh_template
from signer.api.issuer import IssuerRef
from signer.csr.queue.flow import claimed_identity
from signer.tenancy.decide import decide
from signer.tenancy.mesh_cas import CA
from signer.tenancy.routes import other_tenants, route
from signer.tenancy.verdict import Bind, Claim, Grant, Limits, Refuse, Reread, Route
from signer.tenancy.world import Binding, Claims, MeshConfig, Namespace, Policy, ProxyConfigName, World
from tests.pki import key, workload_csr

SIGNERS, NAMESPACES = 1_000, 10_000
GOAL = 30.0
ROUTING_GOAL = 3.0
DOOR = IssuerRef("ClusterIssuer", "", "mesh")
ISTIOD = "system:serviceaccount:istio-system:istiod"
USAGES = ("digital signature", "key encipherment", "server auth", "client auth")
NOW = datetime.now(UTC)


def ref(number: int) -> IssuerRef:
    """Name one mesh signer."""
    return IssuerRef("ClusterIssuer", "", f"tenant-{number}")


def mesh() -> World:
    """Every tenth namespace owns a signer by a claim; a policy gives the nine beside it the same one."""
    signers = frozenset(ref(number) for number in range(SIGNERS))
    namespaces = {f"ns-{number}": Namespace(f"uid-{number}") for number in range(NAMESPACES)}
    owners = {ref(number): f"ns-{number * 10}" for number in range(SIGNERS)}
    claims = {}
    for number in range(NAMESPACES):
        signer, name = ref(number // 10), ProxyConfigName("pc", f"uid-pc-{number}")
        claims[f"ns-{number}"] = Claims(signer, {signer: name}, name)
    policies: dict[IssuerRef, tuple[Policy, ...]] = {
        ref(number): (
            Policy(
                f"policy-{number}",
                frozenset({ref(number)}),
                frozenset(f"ns-{number * 10 + beside}" for beside in range(10)),
                namespace_uids={f"ns-{one}": f"uid-{one}" for one in range(number * 10, number * 10 + 10)},
            ),
        )
        for number in range(0, SIGNERS, 2)
    }
    return World(
        config=MeshConfig(signers=signers),
        signers=signers,
        requesters=frozenset({ISTIOD}),
        keys={f"{number:064x}": frozenset({ref(number)}) for number in range(SIGNERS)},
        namespaces=namespaces,
        claims=claims,
        claimants={ref(number): frozenset(f"ns-{number * 10 + n}" for n in range(10)) for number in range(SIGNERS)},
        policies=policies,
        bindings={
            signer: Binding(signer, namespace, namespaces[namespace].uid, NOW - timedelta(days=1))
            for signer, namespace in owners.items()
        },
        unsynced="",
    )


def routed() -> World:
    """The same with one more signer, which is routed by identity; namespace ns-25 has its signer by a policy alone."""
    world = mesh()
    given = [policy for policies in world.policies.values() for policy in policies if "ns-25" in policy.namespaces]
    world.policies[DOOR] = (Policy("door", frozenset({DOOR}), route="Identity"),)
    world.routed = frozenset({DOOR})
    world.naming["ns-25"] = {policy.name: policy for policy in given}
    del world.claims["ns-25"]
    return world


def routing(world: World) -> float:
    """Print what it costs to choose the CA, and to see that what is above it is nobody else's; the worst case."""
    ca = authority("P-256")
    asked = CA(ref(1), ca.key_id, ca.chain)
    worst = 0.0
    for name, namespace, signer in (("its claim", "ns-10", 1), ("a policy", "ns-25", 2)):
        found = route(world, DOOR, namespace, now=NOW)
        assert isinstance(found, Route)
        assert found.signer == ref(signer)

        def step(namespace: str = namespace) -> object:
            return route(world, DOOR, namespace, now=NOW), other_tenants(world, namespace, asked, NOW)

        took = cost(step)
        worst = max(worst, took)
        print(f"{'':<10}{'by identity: the CA by ' + name:<44}{took:7.1f}  < {ROUTING_GOAL:.0f}")
    return worst


def claim(signer: int, request: SigningRequest) -> Claim:
    """What istiod asks for a workload; its namespace is in the request."""
    return Claim(
        ISTIOD,
        ref(signer),
        f"{signer:064x}",
        request,
        USAGES,
        is_ca=False,
        lifetime=timedelta(days=1),
        created=NOW,
        ca_not_after=NOW + timedelta(days=90),
    )


def main() -> int:
    """Print the table; exit status 1 when a decision costs more than it may."""
    world, limits = mesh(), Limits()
    kinds = {"RSA 2048": key("rsa2048"), "P-256": key("p256")}
    print(f"decide, {SIGNERS:,} signers and {NAMESPACES:,} namespaces     µs   goal")
    worst = 0.0
    for kind, private in kinds.items():
        cases: dict[str, tuple[int, int, type, bool]] = {
            "granted by an owned claim": (10, 1, Grant, False),
            "granted by a policy": (25, 2, Grant, False),
            "another tenant's, not read live yet": (10, 3, Reread, False),
            "another tenant's, refused": (10, 3, Refuse, True),
        }
        for name, (namespace, signer, expected, fresh) in cases.items():
            request = read_request(workload_csr(f"ns-{namespace}", private=private))
            asked = claim(signer, request)

            def step(asked: Claim = asked, fresh: bool = fresh) -> object:
                return decide(asked, world, limits, fresh=fresh, now=NOW)

            found = step()
            if not isinstance(found, expected) or isinstance(found, Bind):
                print(f"{name}: {found}", file=sys.stderr)
                return 2
            took = cost(step)
            worst = max(worst, took)
            print(f"{kind:<10}{name:<44}{took:7.1f}  < {GOAL:.0f}")
    over = worst >= GOAL or routing(routed()) >= ROUTING_GOAL
    ca = authority("P-256")
    for kind, private in kinds.items():
        text = workload_csr("ns-10", private=private)
        print(f"{kind:<10}{'choosing the queue of a request':<44}{cost(lambda t=text: claimed_identity(t)):7.1f}")  # type: ignore[misc]

        def whole(text: bytes = text) -> object:
            request = read_request(text)
            grant = decide(claim(1, request), world, limits, fresh=False, now=NOW)
            assert isinstance(grant, Grant)
            assert grant.not_before is not None
            template = mesh_template(
                request,
                san=uri_name(request.uris[0]),
                usages=grant.usages,
                not_before=grant.not_before,
                not_after=NOW + grant.lifetime,
            )
            return sign(template, ca, serial=new_serial())

        print(f"{kind:<10}{'CSR bytes to certificate, decision included':<44}{cost(whole):7.1f}")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
