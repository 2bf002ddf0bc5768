"""Issuers that stand in for another, and the rehearsal before the real order: with two CAs, on the real API server."""

from datetime import datetime, timedelta

import pytest

from signer.api.edgepolicy import EDGE_POLICIES
from signer.api.hostclaim import HOST_CLAIMS
from tests.fakes.acme_faults import FaultyCA, Reply, problem
from tests.integration.edge import gateway_world
from tests.integration.edge.conftest import Start, spec
from tests.integration.edge.presenters import ServerPresenter
from tests.integration.slow_controllers import Json, World, world
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration

FALLBACKS, REHEARSAL = "mesh-signer.dev/fallback-issuers", "mesh-signer.dev/rehearsal-issuer"


async def issuer(here: World, name: str, body: Json, **notes: str) -> str:
    """A ClusterIssuer that is ready; `notes` are its annotations."""
    full = f"{here.namespace}-{name}"
    key = {"privateKeySecretRef": {"name": f"account-{name}"}}
    named = {"fallbacks": FALLBACKS, "rehearsal": REHEARSAL}
    annotations = {named[note]: text for note, text in notes.items()}
    await here.create("ClusterIssuer", full, {"acme": body["acme"] | key}, annotations=annotations)
    await here.ready("ClusterIssuer", full)
    return full


async def asked(here: World, name: str, *hosts: str) -> None:
    """A Certificate "web" of that issuer."""
    await here.certificate("web", name, commonName=None, dnsNames=list(hosts))


async def failed(here: World, times: int) -> None:
    """Wait until the Certificate has failed so often."""

    async def seen() -> bool:
        found = await here.get("Certificate", "web")
        return found is not None and found["status"].get("failedIssuanceAttempts") == times

    await here.until(f"failure {times}", seen)


def _new_terms(method: str, path: str) -> Reply | None:
    """A CA that wants something of its operator before it gives an order."""
    ordering = method == "POST" and "order-plz" in path
    return problem(403, "userActionRequired", "new terms") if ordering else None


async def test_the_next_issuer_after_failures(here: World, start: Start) -> None:
    """After two failures the next issuer's CA gives the certificate; the renewal begins with the first again."""
    second = start()
    backup = await issuer(here, "backup", spec(second))
    with FaultyCA(start()) as first:
        first.rule = _new_terms
        name = await issuer(here, "main", spec(first), fallbacks=backup)  # type: ignore[arg-type]  # has what spec reads
        await asked(here, name, "fallback.example")
        await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
        here.ahead = timedelta(hours=2)
        await here.touch("Certificate", "web")
        await failed(here, 2)
        assert second.orders() == 0
        here.ahead = timedelta(hours=8)
        await here.touch("Certificate", "web")
        await here.ready("Certificate", "web")
        assert second.orders() == 1
        secret = await here.get("Secret", "web")
        assert secret is not None
        assert secret["metadata"]["annotations"]["cert-manager.io/issuer-name"] == name
        first.rule = lambda _method, _path: None
        status = {"status": {"conditions": [{"type": "Issuing", "status": "True", "reason": "M", "message": "m"}]}}
        await here.edit("Certificate", "web", status, "status")

        async def renewed() -> bool:
            found = await here.get("Certificate", "web")
            return found is not None and found["status"].get("revision") == 2

        await here.until("a renewal", renewed)
        assert second.orders() == 1


async def test_a_policy_is_asked_about_each(
    cluster: Cluster, namespace: str, start: Start, presenter: ServerPresenter
) -> None:
    """An issuer that an EdgePolicy does not allow for a host does not stand in, however often the first fails."""
    gateway_world.install(cluster)
    second, host = start(), f"guarded.{namespace}.example"
    async with world(cluster, namespace, presenter=presenter, hosts=True) as here:
        backup = await issuer(here, "backup", spec(second))
        with FaultyCA(start()) as first:
            first.rule = _new_terms
            name = await issuer(here, "main", spec(first), fallbacks=backup)  # type: ignore[arg-type]  # as above
            allowed = {"hostSuffixes": [host], "namespaces": {"names": [namespace]}, "issuers": [{"name": name}]}
            body = {"apiVersion": EDGE_POLICIES.api_version, "kind": EDGE_POLICIES.kind}
            await here.client.create(EDGE_POLICIES, {**body, "metadata": {"name": namespace}, "spec": allowed})
            try:
                await asked(here, name, host)
                await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
                for times, hours in ((2, 2), (3, 8)):
                    here.ahead = timedelta(hours=hours)
                    await here.touch("Certificate", "web")
                    await failed(here, times)
                assert second.orders() == 0
            finally:
                await here.client.delete(EDGE_POLICIES, namespace)
                await here.client.delete(HOST_CLAIMS, host)


async def test_the_next_issuer_when_the_ca_is_away(here: World, start: Start) -> None:
    """A CA that answers nothing for minutes is left for the next issuer, without a failure of the Certificate."""
    second = start()
    backup = await issuer(here, "backup", spec(second))
    with FaultyCA(start()) as first:
        tries: list[str] = []

        def away(method: str, path: str) -> Reply | None:
            if method != "POST" or "order-plz" not in path:
                return None
            tries.append(path)
            return problem(503, "serverInternal", "away")

        first.rule = away
        name = await issuer(here, "main", spec(first), fallbacks=backup)  # type: ignore[arg-type]  # has what spec reads
        await asked(here, name, "away.example")

        async def tried() -> bool:
            return len(tries) >= 2

        await here.until("it was tried again", tried)
        assert second.orders() == 0
        here.ahead = timedelta(minutes=6)
        found = await here.ready("Certificate", "web")
        assert not found["status"].get("failedIssuanceAttempts")
        assert second.orders() == 1


async def test_a_rehearsal(here: World, start: Start) -> None:
    """New names are ordered at the rehearsal's CA first, and its certificate is thrown away; known names are not."""
    staging, real = start(), start()
    before = await issuer(here, "staging", spec(staging))
    name = await issuer(here, "main", spec(real), rehearsal=before)
    await asked(here, name, "rehearsed.example")
    await here.ready("Certificate", "web")
    assert (staging.orders(), real.orders()) == (1, 1)

    async def one_order() -> bool:
        return [one["spec"]["issuerRef"]["name"] for one in await here.list("Order")] == [name]

    await here.until("the rehearsal is gone", one_order)
    status = {"status": {"conditions": [{"type": "Issuing", "status": "True", "reason": "M", "message": "m"}]}}
    await here.edit("Certificate", "web", status, "status")

    async def renewed() -> bool:
        found = await here.get("Certificate", "web")
        return found is not None and found["status"].get("revision") == 2

    await here.until("a renewal", renewed)
    assert (staging.orders(), real.orders()) == (1, 2)


async def test_a_rehearsal_that_fails(here: World, start: Start, presenter: ServerPresenter) -> None:
    """Names that fail at the rehearsal cost the real CA nothing, and its words are told."""
    staging, real = start(), start()
    before = await issuer(here, "staging", spec(staging))
    name = await issuer(here, "main", spec(real), rehearsal=before)
    presenter.wrong = True
    await asked(here, name, "unproven.example")
    found = await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
    assert f"Rehearsal at ClusterIssuer {before}" in str(found["status"])
    assert "unauthorized" in str(found["status"])
    assert real.orders() == 0


async def test_the_duration_that_is_wanted(here: World, start: Start) -> None:
    """With enableDurationFeature the end that the Certificate wants is ordered, and the CA keeps it."""
    name = await issuer(here, "main", spec(start(), enableDurationFeature=True))
    await here.certificate("web", name, commonName=None, dnsNames=["short.example"], duration="100h")
    found = await here.ready("Certificate", "web")
    begin, end = (datetime.fromisoformat(found["status"][field]) for field in ("notBefore", "notAfter"))
    assert abs(end - begin - timedelta(hours=100)) < timedelta(hours=2)
