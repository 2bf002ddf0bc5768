"""ACME issuers against Pebble: account, key and status, in cert-manager's words."""

import base64

import pytest

from issuers.acme.account import load_key
from tests.fakes.acme_faults import FaultyCA, problem, times
from tests.integration.edge.conftest import Start, spec
from tests.integration.slow_controllers import World, condition

pytestmark = pytest.mark.integration


async def test_registered(here: World, start: Start) -> None:
    """A ClusterIssuer is Ready once its account is registered, and says where the account is."""
    ca = start()
    name = await here.issuer("acme", spec(ca))
    found = await here.ready("ClusterIssuer", name)
    ready = condition(found, "Ready")
    assert ready is not None
    assert (ready["reason"], ready["message"]) == (
        "ACMEAccountRegistered",
        "The ACME account was registered with the ACME server",
    )
    assert found["status"]["acme"]["uri"].startswith(ca.directory.removesuffix("/dir"))
    assert found["status"]["acme"]["lastRegisteredEmail"] == "admin@example.com"
    secret = await here.get("Secret", "account")
    assert secret is not None
    load_key(base64.b64decode(secret["data"]["tls.key"]))


async def test_a_restart_asks_the_server_for_nothing(here: World, start: Start) -> None:
    """A new process uses the account that the status names: it works while the CA is away."""
    ca = start()
    name = await here.issuer("acme", spec(ca))
    before = await here.ready("ClusterIssuer", name)
    await here.stop()
    ca.stop()
    await here.start()
    after = await here.settled("ClusterIssuer", name)
    assert after["status"] == before["status"]


async def test_not_trusted(here: World, start: Start) -> None:
    """A CA whose certificate the bundle does not vouch for is told as such."""
    other = start()
    name = await here.issuer("acme", spec(start(), caBundle=base64.b64encode(other.authority.certificate).decode()))
    found = await here.condition("ClusterIssuer", name, status="False", reason="ErrRegisterACMEAccount")
    assert "its certificate is not trusted" in str(found["status"])


async def test_a_bad_spec_names_its_field(here: World, start: Start) -> None:
    """What cannot be used is told with its field."""
    name = await here.issuer("acme", spec(start(), server="http://ca.example/dir"))
    found = await here.condition("ClusterIssuer", name, status="False", reason="InvalidConfiguration")
    assert "spec.acme.server" in str(found["status"])


async def test_a_lost_account_key(here: World, start: Start) -> None:
    """When the account's Secret is deleted, a new key and account are made, and the issuer says so."""
    name = await here.issuer("acme", spec(start()))
    before = (await here.ready("ClusterIssuer", name))["status"]["acme"]["uri"]
    await here.delete("Secret", "account")

    async def again() -> bool:
        now = await here.get("ClusterIssuer", name)
        return now is not None and bool(now["status"]["acme"]["uri"] != before)

    await here.until("another account", again)
    await here.ready("ClusterIssuer", name)


async def test_external_account(here: World, start: Start) -> None:
    """An account is bound to the one that the operator knows, by the key in the Secret."""
    mac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    ca = start(external_accounts={"kid-1": mac})
    binding = {"keyID": "kid-1", "keySecretRef": {"name": "eab", "key": "secret"}}
    name = await here.issuer("acme", spec(ca, externalAccountBinding=binding))
    await here.condition("ClusterIssuer", name, status="False", reason="ErrRegisterACMEAccount")
    await here.create("Secret", "eab", {"stringData": {"secret": mac}})
    await here.ready("ClusterIssuer", name)


async def test_a_tenants_issuer(here: World, start: Start) -> None:
    """A namespaced Issuer makes us dial no address of our own network: the reason is told, and its server hears nothing."""
    ca = start()
    asked = ca.log.read_text().count("GET /dir")
    await here.create("Issuer", "own", spec(ca))
    found = await here.condition("Issuer", "own", status="False")
    assert "127.0.0.1 is a loopback address" in str(condition(found, "Ready"))
    assert ca.log.read_text().count("GET /dir") == asked


async def test_a_server_that_changes(here: World, start: Start) -> None:
    """An issuer that is given another server gets an account there, with the key that it has."""
    first, second = start(), start()
    name = await here.issuer("acme", spec(first))
    before = (await here.ready("ClusterIssuer", name))["status"]["acme"]
    await here.edit("ClusterIssuer", name, {"spec": spec(second)})

    async def moved() -> bool:
        now = await here.get("ClusterIssuer", name)
        return now is not None and str(now["status"]["acme"]["uri"]).startswith(second.directory.removesuffix("/dir"))

    await here.until("an account at the other server", moved)
    after = (await here.ready("ClusterIssuer", name))["status"]["acme"]
    assert after["lastPrivateKeyHash"] == before["lastPrivateKeyHash"]


@pytest.mark.parametrize("code", ["externalAccountRequired", "malformed", "userActionRequired"])
async def test_a_question_that_is_refused(here: World, start: Start, code: str) -> None:
    """A CA that does not say whether it has an account is sent the registration: it gives the one that there is."""
    with FaultyCA(start()) as ca:
        ca.rule = times(1, "sign-me-up", problem(403, code, "not like this"))
        name = await here.issuer("acme", spec(ca))  # type: ignore[arg-type]  # it has what spec reads of a Pebble
        await here.ready("ClusterIssuer", name)


async def test_another_directory_of_the_same_host(here: World, start: Start) -> None:
    """When only the directory's path or query changes, the account is asked for anew, there."""
    with FaultyCA(start()) as ca:
        name = await here.issuer("acme", spec(ca))  # type: ignore[arg-type]  # as above
        await here.ready("ClusterIssuer", name)
        ca.seen.clear()
        await here.edit("ClusterIssuer", name, {"spec": {"acme": {"server": f"{ca.directory}?other"}}})

        async def registered() -> bool:
            found = await here.get("ClusterIssuer", name)
            return found is not None and found["status"]["acme"].get("lastServer") == f"{ca.directory}?other"

        await here.until("the account of the other directory", registered)
        assert [path for method, path, _ in ca.seen if method == "POST"]
