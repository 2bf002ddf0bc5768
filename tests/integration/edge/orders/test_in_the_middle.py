"""What tenants and accidents do to objects in the middle of an issuance: edited, deleted, replaced; a namespace that goes."""

import base64
import contextlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from issuers.acme.account import generate_key
from signer.api.challenge import FINALIZER
from signer.api.namespace import NAMESPACES
from signer.kube.errors import Invalid, NotFound
from signer.tenancy.verdict import Reason
from tests.integration.edge.conftest import Start, spec
from tests.integration.edge.presenters import ServerPresenter
from tests.integration.slow_controllers import Json, World, chain, condition
from tests.localmesh.pebble import ChallengeServer, Pebble

pytestmark = pytest.mark.integration


class Waiting:
    """A Certificate whose Challenge waits for a gateway, and goes on by `go_on`."""

    def __init__(self, here: World, ca: Pebble, presenter: ServerPresenter) -> None:
        self.here = here
        self.ca = ca
        self._presenter = presenter
        self.issuer = ""

    async def begin(self, host: str) -> Json:
        """Ask, and return the Challenge that waits."""
        self._presenter.waits = Reason("NoGateway", "not yet")
        self.issuer = await self.here.issuer("acme", spec(self.ca))
        await self.here.certificate("web", self.issuer, commonName=None, dnsNames=[host])
        return await self.challenge()

    async def challenge(self, *, not_uid: str = "") -> Json:
        """Wait for a Challenge that waits, another than the one with this uid."""

        async def ask() -> Json | None:
            for one in await self.here.list("Challenge"):
                if one.get("status", {}).get("reason") == "not yet" and one["metadata"]["uid"] != not_uid:
                    return one
            return None

        found: Json = await self.here.until("a Challenge that waits", ask)
        return found

    async def go_on(self) -> Json:
        """Let it go on, and wait for the certificate; returns the Certificate."""
        self._presenter.waits = None
        return await self.here.ready("Certificate", "web")


@pytest.fixture
def waiting(here: World, start: Start, presenter: ServerPresenter) -> Waiting:
    """Not begun yet."""
    return Waiting(here, start(), presenter)


def name_of(obj: Json) -> str:
    """An object's name."""
    return str(obj["metadata"]["name"])


class TestSecrets:
    async def test_the_accounts_secret_is_deleted(self, here: World, waiting: Waiting) -> None:
        """Without its key the order cannot go on, which is told; the next one is of the new account, and gives a certificate."""
        await waiting.begin("keyless.example")
        before = (await here.ready("ClusterIssuer", waiting.issuer))["status"]["acme"]["uri"]
        await here.delete("Secret", "account")
        found = await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
        assert "account" in str(condition(found, "Issuing"))
        after = (await here.ready("ClusterIssuer", waiting.issuer))["status"]["acme"]["uri"]
        assert after != before
        await here.edit("Certificate", "web", {"spec": {"dnsNames": ["keyless.example", "second.example"]}})
        await waiting.go_on()
        assert waiting.ca.orders() == 2

    async def test_the_accounts_key_is_spoilt(self, here: World, waiting: Waiting) -> None:
        """A key that is none stops its issuer, which says so; with the old one back, the same order goes on."""
        await waiting.begin("spoilt.example")
        before = await here.get("Secret", "account")
        assert before is not None
        await here.edit("Secret", "account", {"data": {"tls.key": base64.b64encode(b"no key").decode()}})
        told = await here.condition("ClusterIssuer", waiting.issuer, status="False")
        assert "account" in str(condition(told, "Ready"))
        await here.edit("Secret", "account", {"data": before["data"]})
        await here.ready("ClusterIssuer", waiting.issuer)
        await waiting.go_on()
        assert waiting.ca.orders() == 1

    async def test_the_accounts_key_is_another(self, here: World, waiting: Waiting) -> None:
        """A key that is put in its place has an account of its own, and a new issuance is that one's."""
        await waiting.begin("another.example")
        await here.edit("Secret", "account", {"data": {"tls.key": base64.b64encode(generate_key()).decode()}})
        await here.condition("Certificate", "web", "Issuing", status="False", reason="Failed")
        await here.edit("Certificate", "web", {"spec": {"dnsNames": ["another.example", "second.example"]}})
        await waiting.go_on()

    async def test_the_certificates_secret_is_deleted(self, here: World, waiting: Waiting) -> None:
        """A certificate that is deleted is ordered again, once."""
        await waiting.begin("deleted.example")
        await waiting.go_on()
        await here.delete("Secret", "web")

        async def back() -> bool:
            return await here.get("Secret", "web") is not None

        await here.until("the Secret again", back)
        await here.ready("Certificate", "web")
        assert waiting.ca.orders() == 2

    async def test_the_next_key_is_deleted(self, here: World, waiting: Waiting) -> None:
        """A key that is lost before its certificate came is made anew: what is stored in the end fits together."""
        await waiting.begin("next.example")
        for secret in await here.list("Secret"):
            if name_of(secret) not in ("web", "account"):
                await here.delete("Secret", name_of(secret))
        await waiting.go_on()
        stored = await here.get("Secret", "web")
        assert stored is not None
        leaf = chain(base64.b64decode(stored["data"]["tls.crt"]))[0]
        key = load_pem_private_key(base64.b64decode(stored["data"]["tls.key"]), None)
        assert leaf.public_key() == key.public_key()


class TestChallenges:
    async def test_deleted(self, here: World, waiting: Waiting, presenter: ServerPresenter) -> None:
        """A Challenge that somebody deletes is cleaned up after, made again, and the same order goes on."""
        first = await waiting.begin("again.example")
        await here.delete("Challenge", name_of(first))
        again = await waiting.challenge(not_uid=first["metadata"]["uid"])
        assert name_of(again) == name_of(first)
        assert name_of(first) in presenter.removed
        await waiting.go_on()
        assert waiting.ca.orders() == 1

    @pytest.mark.parametrize(
        "edit",
        [
            {"dnsName": "victim.example"},
            {"token": "A" * 43},
            {"key": f"{'A' * 43}.{'B' * 43}"},
            {"solver": {"http01": {"ingress": {"class": "another"}}}},
            {"authorizationURL": "https://localhost:1/authZ/x"},
            {"issuerRef": {"name": "another", "kind": "ClusterIssuer"}},
        ],
        ids=lambda edit: next(iter(edit)),
    )
    async def test_edited(self, here: World, waiting: Waiting, edit: dict[str, Any]) -> None:
        """A Challenge cannot be edited, by nobody: the API server refuses it, and it goes on as it was."""
        first = await waiting.begin("edited.example")
        with pytest.raises(Invalid, match="cannot be changed"):
            await here.edit("Challenge", name_of(first), {"spec": edit})
        await waiting.go_on()
        assert waiting.ca.orders() == 1

    async def test_the_issuers_solvers_change(self, here: World, waiting: Waiting, presenter: ServerPresenter) -> None:
        """A Challenge that waits for what the old solver wanted is cleaned up and made for the new one; the order goes on."""
        first = await waiting.begin("solvers.example")
        solvers = [{"http01": {"ingress": {"class": "another"}}}]
        await here.edit("ClusterIssuer", waiting.issuer, {"spec": {"acme": {"solvers": solvers}}})
        again = await waiting.challenge(not_uid=first["metadata"]["uid"])
        assert again["spec"]["solver"] == solvers[0]
        assert name_of(first) in presenter.removed
        await waiting.go_on()
        assert waiting.ca.orders() == 1

    async def test_the_answer_is_taken_away(
        self, here: World, waiting: Waiting, presenter: ServerPresenter, answers: ChallengeServer
    ) -> None:
        """An answer that somebody takes away before the CA was told is put in place again."""
        await waiting.begin("taken.example")
        presenter.waits, presenter.blind = None, "no such host"

        async def presented() -> Json | None:
            return next((one for one in await here.list("Challenge") if one["status"].get("presented")), None)

        found = await here.until("a presented Challenge", presented)
        answers.remove_http(found["spec"]["token"])
        presenter.looks, presenter.blind = True, ""
        await waiting.go_on()
        assert len(presenter.presented) > 1
        assert waiting.ca.orders() == 1

    async def test_said_to_be_valid(self, here: World, waiting: Waiting, presenter: ServerPresenter) -> None:
        """Whoever may write a Challenge's status gets no certificate by it: the CA alone says what is proven."""
        first = await waiting.begin("forged.example")
        await here.edit("Challenge", name_of(first), {"status": {"state": "valid"}}, "status")
        presenter.waits = None
        await here.settled("Order", name_of((await here.list("Order"))[0]))
        assert not await here.get("Secret", "web")


class TestOrders:
    async def test_deleted(self, here: World, waiting: Waiting) -> None:
        """An Order that somebody deletes is made again for the same request."""
        first = await waiting.begin("reordered.example")
        (order,) = await here.list("Order")
        await here.delete("Order", name_of(order))
        with contextlib.suppress(NotFound):  # the garbage collector would, in its time; or the controller was faster
            await here.delete("Challenge", name_of(first))
        await waiting.go_on()
        assert waiting.ca.orders() == 2

    async def test_edited(self, here: World, waiting: Waiting) -> None:
        """An Order cannot be edited either."""
        await waiting.begin("edited.example")
        (order,) = await here.list("Order")
        with pytest.raises(Invalid, match="cannot be changed"):
            await here.edit("Order", name_of(order), {"spec": {"dnsNames": ["victim.example"]}})

    async def test_a_forged_certificate(self, here: World, waiting: Waiting) -> None:
        """A certificate that a tenant writes into an Order's status is not the one of its key, and never gets into the Secret."""
        await waiting.begin("forger.example")
        (order,) = await here.list("Order")
        other = await here.issuer("selfsigned", {"selfSigned": {}})
        await here.certificate("theirs", other, commonName="forger.example", dnsNames=["forger.example"])
        await here.ready("Certificate", "theirs")
        theirs = await here.get("Secret", "theirs")
        assert theirs is not None
        forged = {"state": "valid", "certificate": theirs["data"]["tls.crt"]}
        await here.edit("Order", name_of(order), {"status": forged}, "status")
        await here.condition("Certificate", "web", "Issuing", status="False")
        secret = await here.get("Secret", "web")
        assert secret is None or secret["data"]["tls.crt"] != theirs["data"]["tls.crt"]

    async def test_another_orders_url(self, here: World, waiting: Waiting) -> None:
        """An Order whose URL a tenant changes to another order of the same account gets nothing of it."""
        await here.certificate(
            "victim", await here.issuer("acme2", spec(waiting.ca)), commonName=None, dnsNames=["victim.example"]
        )
        await here.ready("Certificate", "victim")
        (theirs,) = await here.list("Order")
        await waiting.begin("thief.example")
        (mine,) = [one for one in await here.list("Order") if name_of(one) != name_of(theirs)]
        stolen = {name: theirs["status"][name] for name in ("url", "finalizeURL")} | {"state": "valid"}
        await here.edit("Order", name_of(mine), {"status": stolen}, "status")
        await here.settled("Order", name_of(mine))
        secret = await here.get("Secret", "web")
        assert secret is None or "victim.example" not in names(secret)


def names(secret: Json) -> list[str]:
    """The DNS names of a Secret's certificate."""
    leaf = chain(base64.b64decode(secret["data"]["tls.crt"]))[0]
    extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return list(extension.value.get_values_for_type(x509.DNSName))


@pytest.mark.parametrize("issuer", ["there", "gone"])
async def test_a_namespace_goes(here: World, waiting: Waiting, presenter: ServerPresenter, issuer: str) -> None:
    """A namespace that is deleted while a challenge waits is gone soon: what was presented is taken away, no finalizer stays."""
    first = await waiting.begin("going.example")
    assert FINALIZER in first["metadata"]["finalizers"]
    if issuer == "gone":
        await here.delete("ClusterIssuer", waiting.issuer)
    await here.client.delete(NAMESPACES, here.namespace)

    async def gone() -> bool:
        found = await here.client.list(NAMESPACES)
        return here.namespace not in {name_of(one) for one in found}

    await here.until("the end of the namespace", gone)
    await here.client.create(NAMESPACES, {"metadata": {"name": here.namespace}})  # for whoever cleans up
    assert name_of(first) in presenter.removed
