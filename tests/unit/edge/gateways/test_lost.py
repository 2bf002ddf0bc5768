"""What a deleted Secret held: for the namespace that had it, and for no later one of its name."""

import base64
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from signer.api.certificate import IssuerReference
from signer.api.secret import Secret
from signer.edge.gateways.secrets import GatewaySecrets
from signer.edge.gateways.wish import Source, Wish
from signer.edge.hosts.decide import Asker
from signer.edge.hosts.secret_records import SecretRecords
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.kube.reflector import Change
from signer.kube.room import Room
from tests import pki
from tests.unit.edge.objects import host

KEY = ("foo", "shop-tls")


class Client:
    """Has no Secret, and keeps what is created."""

    def __init__(self) -> None:
        self.room = Room()
        self.created: list[dict[str, Any]] = []

    async def get(self, *_: Any) -> Any:
        raise NotFound(404, "NotFound", "there is none")

    async def create(self, _resource: Any, body: dict[str, Any]) -> Any:
        self.created.append(body)
        return {"metadata": {"uid": "new"}}


class Records:
    """Knows that the old Secret was made for the namespace as it was then."""

    def made_for(self, _key: Any, uid: str) -> str:
        return "uid-then" if uid == "old" else ""

    def full(self, _claim: str) -> bool:
        return False

    async def announce(self, *_: Any) -> None:
        return

    async def made(self, *_: Any) -> None:
        return


NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def gone(uid: str) -> Secret:
    """A Secret of that uid, with a certificate that is still good."""
    ca = pki.CA("issued", now=NOW)
    data = {"tls.crt": ca.pem, "tls.key": ca.key_pem}
    found: Secret = msgspec.convert({"metadata": {"name": KEY[1], "namespace": KEY[0], "uid": uid}}, Secret)
    return msgspec.structs.replace(found, data=data)


@pytest.mark.parametrize("uid", ["old", "somebody's"])
@pytest.mark.parametrize("now", ["uid-then", "uid-now"])
async def test_whose_key(uid: str, now: str) -> None:
    """What a Secret held is put back for the namespace that it was made for, and handed to no other of that name."""
    client, clock = Client(), NOW
    secrets = GatewaySecrets(
        cast("ApiClient", client),
        lambda *_: False,
        cast("SecretRecords", Records()),
        lambda _: None,
        clock=lambda: clock,
    )
    lost = gone(uid)
    secrets._changed(Change("deleted", KEY, lost, None))
    wish = Wish((Source("Gateway", "foo", "shop", "u"),), KEY[1], (host("a.example.com"),), IssuerReference(name="le"))
    assert await secrets.prepare(wish, "foo", Asker("foo", now, {}), issuing=True) is None
    (made,) = client.created
    put_back = base64.b64decode(made["data"]["tls.key"]) == lost.data["tls.key"]
    assert put_back == (uid == "old" and now == "uid-then")
