"""What is kept of the Secrets that Certificates name: any number of them may name one, and anybody may fill one."""

import ast
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

import signer
from signer.api.meta import find_condition
from signer.api.secret import Secret, read_secret
from signer.certificates.objects import Key
from signer.kube.encoding.codec import LARGEST
from signer.kube.reflector import Change
from tests.unit.certificates import samples
from tests.unit.certificates.test_stale_cache import ScriptedObjects, controller


def named(number: int) -> tuple[Key, Any]:
    certificate = samples.certificate(secretName="huge")
    meta = msgspec.structs.replace(certificate.metadata, name=f"h{number}", uid=f"u{number}")
    return ("shop", f"h{number}"), msgspec.structs.replace(certificate, metadata=meta)


def huge(size: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "huge", "namespace": "shop", "uid": "s", "resourceVersion": "7"},
        "type": "Opaque",
        "data": {"x": "AAAA" * (size // 4)},
    }


class Live(ScriptedObjects):
    async def secret(self, _namespace: str, _name: str) -> Secret | None:
        return self.live


@pytest.mark.parametrize("watched", [False, True], ids=["read-live", "watched"])
async def test_many_certificates_and_one_secret(watched: bool) -> None:
    """However many Certificates name a Secret: it is kept once if the watch keeps it anyhow, and else not at all."""
    secret = msgspec.convert(huge(100_000), Secret)
    tested, _ = controller(secret, None)
    tested._objects = cast("Any", Live(secret))
    if watched:
        tested._watched.secrets.store["shop", "huge"] = secret
    for number in range(50):
        key, certificate = named(number)
        tested._watched.certificates.store[key] = certificate
        await tested.reconcile(key)
    assert len(tested._views) == watched
    tested._secret_changed(Change("deleted", ("shop", "huge"), secret, None))
    assert not tested._views


async def test_a_secret_that_is_too_large() -> None:
    """Of a Secret larger than a watch takes nothing is read, and the Certificate that names it says so."""
    secret = read_secret(huge(740_000))
    assert secret.data == {}
    tested, _ = controller(secret, None)
    objects = Live(secret)
    tested._objects = cast("Any", objects)
    key, certificate = named(1)
    tested._watched.certificates.store[key] = certificate
    await tested.reconcile(key)
    (status,) = objects.patches
    ready = find_condition(msgspec.convert(status, type(certificate.status)).conditions, "Ready")
    assert ready is not None
    assert (ready.reason, ready.status) == ("SecretTooLarge", "False")
    assert ready.message.startswith("spec.secretName: Secret huge: it has 740")
    assert "make it smaller, or choose another name" in ready.message


@pytest.mark.parametrize("place", ["data", "labels", "annotations", "managedFields", "type"])
def test_each_part_is_bounded(place: str) -> None:
    """Whichever part of a Secret is the large one: what is kept of it is small."""
    obj = huge(4)
    meta = obj["metadata"]
    text = "A" * LARGEST
    if place == "data":
        obj["data"] = {"tls.crt": text, "tls.key": text}
    elif place == "type":
        obj["type"] = text
    elif place == "managedFields":
        meta["managedFields"] = [{"manager": "m", "operation": "Update", "fieldsV1": {f"f:{text}": {}}}]
    else:
        meta[place] = {"x": text}
    found = read_secret(obj)
    assert found.withheld
    assert (found.metadata.name, found.metadata.resource_version, found.data) == ("huge", "7", {})
    assert len(msgspec.json.encode(found)) < 1000


def test_an_honest_secret() -> None:
    """Any other is read as it is, and cannot say of itself that it is withheld."""
    body = samples.secret_json()
    assert read_secret(body | {"withheld": "no"}) == msgspec.convert(body, Secret)


@pytest.mark.heavy
def test_nobody_reads_past_the_bound() -> None:
    """A Secret becomes one of ours by `read_secret` alone, and where the API server answers what we wrote ourselves."""
    root = Path(str(signer.__file__)).parent
    found = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("convert") and len(node.args) > 1:
                found |= {str(file.relative_to(root))} if ast.unparse(node.args[1]) == "Secret" else set()
    assert found == {"api/secret.py", "certificates/objects.py"}
