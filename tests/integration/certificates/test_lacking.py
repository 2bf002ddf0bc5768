"""Secrets that lack something, or came back from a backup: what can be put back is, and a certificate is made only for the rest."""

import base64
import contextlib

import pytest

from signer.kube.errors import NotFound
from tests.integration.certificates.secrets_of import secret_of
from tests.integration.slow_controllers import Json, World, condition

pytestmark = pytest.mark.integration

STORE = {"keystores": {"pkcs12": {"create": True, "password": "changeit", "profile": "Modern2023"}}}
EMPTY = ""
LACKS: dict[str, tuple[Json, bool]] = {
    "ca.crt": ({"data": {"ca.crt": None}}, True),
    "ca.crt-empty": ({"data": {"ca.crt": EMPTY}}, True),
    "keystore": ({"data": {"keystore.p12": None}}, True),
    "truststore": ({"data": {"truststore.p12": None}}, True),
    "label": ({"metadata": {"labels": {"controller.cert-manager.io/fao": None}}}, True),
    "annotations": ({"metadata": {"annotations": {"cert-manager.io/alt-names": None}}}, True),
    "mark": ({"metadata": {"annotations": {"mesh-signer.dev/issued-for": None}}}, True),
    "tls.crt-empty": ({"data": {"tls.crt": EMPTY}}, False),
    "tls.key-empty": ({"data": {"tls.key": EMPTY}}, False),
}


async def made(here: World, **fields: object) -> Json:
    issuer = await here.ca()
    await here.certificate("leaf", issuer, dnsNames=["leaf.example"], **(STORE | fields))
    await here.ready("Certificate", "leaf")
    await here.settled("Certificate", "leaf")
    return await secret_of(here, "leaf")


async def clean_up(here: World, request: str = "leaf-1") -> None:
    """Delete the CertificateRequest, as tools that clean up do; a garbage collector may have done it."""
    with contextlib.suppress(NotFound):
        await here.delete("CertificateRequest", request)


@pytest.mark.parametrize("cleaned_up", [False, True], ids=["request", "no-request"])
@pytest.mark.parametrize("lacks", LACKS)
async def test_lacking(here: World, lacks: str, cleaned_up: bool) -> None:
    """What the Secret lacks is put back from what is known; a new certificate is made once, and only where it must be."""
    before = await made(here)
    if cleaned_up:
        await clean_up(here)
    patch, mendable = LACKS[lacks]
    # With the request its answer is there too.
    mendable = mendable or (lacks == "tls.crt-empty" and not cleaned_up)
    await here.edit("Secret", "leaf", patch)

    async def whole() -> bool:
        now = await secret_of(here, "leaf")
        names = all(now["data"].get(name) for name in before["data"])
        same = (
            now["metadata"].get(part, {}).keys() == before["metadata"][part].keys()
            for part in ("labels", "annotations")
        )
        return names and all(same)

    await here.until("it is whole again", whole)
    await here.ready("Certificate", "leaf")
    found = await here.settled("Certificate", "leaf")
    assert found["status"]["revision"] == (1 if mendable else 2)
    after = await secret_of(here, "leaf")
    assert (after["data"]["tls.crt"] == before["data"]["tls.crt"]) == mendable
    if mendable and lacks not in ("annotations", "mark"):
        assert "SecretMended" in await here.events("leaf")


@pytest.mark.parametrize("cleaned_up", [False, True], ids=["request", "no-request"])
@pytest.mark.parametrize(
    "spec",
    [
        {"usages": ["client auth"]},
        {"duration": "24h"},
        {"subject": {"organizations": ["Org"]}},
        {"dnsNames": ["b.example"]},
    ],
    ids=["usages", "duration", "subject", "names"],
)
async def test_restored_for_an_older_spec(here: World, spec: Json, cleaned_up: bool) -> None:
    """A Secret from a backup that was issued for an older spec is renewed once; one for the present spec never."""
    before = await made(here)
    await here.edit("Certificate", "leaf", {"spec": spec})

    async def issued() -> bool:
        found = await here.get("Certificate", "leaf") or {}
        return bool(found["status"].get("revision") == 2) and condition(found, "Issuing") is None

    await here.until("revision 2", issued)
    present = await secret_of(here, "leaf")
    for backup, revision in ((before, 3), (present, None)):
        if cleaned_up:
            for request in await here.list("CertificateRequest"):
                await clean_up(here, request["metadata"]["name"])
        await here.stop()
        await here.delete("Secret", "leaf")
        meta = {part: backup["metadata"][part] for part in ("labels", "annotations")}
        await here.create("Secret", "leaf", {"type": backup["type"], "data": backup["data"]}, **meta)
        await here.start()
        if revision is not None:

            async def again(wanted: int = revision) -> bool:
                return bool(((await here.get("Certificate", "leaf")) or {})["status"].get("revision") == wanted)

            await here.until("a new certificate", again)
            present_again = await secret_of(here, "leaf")
            assert present_again["data"]["tls.crt"] != before["data"]["tls.crt"]
            if not cleaned_up:
                return  # the request of the last one says that its key is another
            await here.ready("Certificate", "leaf")
    await here.ready("Certificate", "leaf")
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 3
    assert (await secret_of(here, "leaf"))["data"]["tls.crt"] == present["data"]["tls.crt"]


async def test_all_restored_into_another_cluster(here: World) -> None:
    """Certificates without status, Secrets and no requests, as a backup brings them: nothing is issued, no change is missed."""
    before = await made(here)
    certificate = await here.get("Certificate", "leaf")
    assert certificate is not None
    await here.stop()
    await here.delete("Certificate", "leaf")
    await clean_up(here)
    await here.create("Certificate", "leaf", certificate["spec"])
    await here.start()
    await here.ready("Certificate", "leaf")
    found = await here.settled("Certificate", "leaf")
    assert "revision" not in found["status"]
    assert (await secret_of(here, "leaf"))["data"] == before["data"]
    await here.edit("Certificate", "leaf", {"spec": {"usages": ["client auth"]}})

    async def issued() -> bool:
        return bool(((await here.get("Certificate", "leaf")) or {})["status"].get("revision") == 1)

    await here.until("a new certificate", issued)


async def test_a_ca_without_its_key(here: World) -> None:
    """A CA whose key is gone gets another one, and it is said what that means for what it signed."""
    issuer = await here.ca()
    await here.edit("Secret", "root-ca", {"data": {"tls.key": EMPTY}})

    async def told() -> bool:
        return "CAKeyLost" in await here.events("root-ca")

    await here.until("an Event", told)
    await here.ready("Certificate", "root-ca")
    await here.ready("ClusterIssuer", issuer)
    assert base64.b64decode((await secret_of(here, "root-ca"))["data"]["tls.key"])
