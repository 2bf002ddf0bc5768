"""Reads and writes the objects of a bridge: live reads before each write, and each write with what was read.

Used on the loop. A Secret is ours by its uid, as the TenantBridge's status records it; while it is being made, by our label on
one of our name, since a process may end between the write and the record. A rule is ours by name and label, which admission
keeps for us: who may write the status alone leads us to nobody else's rule, and hides none of ours.
What is deleted is gone when a live read says so: a finalizer that somebody put on what we made holds nothing.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from signer.api.labels import BRIDGE_UID
from signer.api.secret import SECRETS, read_secret
from signer.api.tenantbridge import TENANT_BRIDGES, TenantBridge, TenantBridgeStatus
from signer.bridges.bodies import is_rule_of, metadata, secret_name
from signer.bridges.credential import read_credential
from signer.bridges.read import Wish
from signer.bridges.step import DropRule, DropSecret, Found, Issue, PutRule, Sight
from signer.bridges.watched import Stray
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound, api_error
from signer.kube.objects import Json
from signer.kube.resource import Resource

FINALIZER = "mesh-signer.dev/bridge"
"""On each TenantBridge that was built: what it made is taken away before it goes."""
_STATUS_FIELDS: Json = {
    "clientNamespace": None,
    "clientNamespaceUID": None,
    "secretUID": None,
    "notAfter": None,
    "root": None,
    "formerRoot": None,
    "formerRootUntil": None,
}


class BridgeWriter:
    """Reads and writes for one bridge at a time; no state of its own."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def look(self, wish: Wish, status: TenantBridgeStatus, names: Iterable[str], rules: Resource) -> Sight:
        """Read the Secret, and the rules of these names and of all that are recorded, as they are now.

        Raises ApiError, Unreachable.
        """
        secret = await self.secret(wish, status, contents=True)
        return Sight(secret, await self.rules(wish, status, names, rules))

    async def rules(
        self, wish: Wish, status: TenantBridgeStatus, names: Iterable[str], rules: Resource
    ) -> dict[str, Found]:
        """Read the rules as `look` does. Raises ApiError, Unreachable."""
        seen: dict[str, Found] = {}
        for name in sorted({*names, *(one for one in status.rules if is_rule_of(wish, one))}):
            rule = await self._get(rules, name, wish.client_namespace)
            if rule is not None:
                seen[name] = _found(rule, "", wish.uid)
        return seen

    async def secret(self, wish: Wish, status: TenantBridgeStatus, *, contents: bool) -> Found | None:
        """Read the Secret; without `contents` nothing of what stands in it is looked at. Raises ApiError, Unreachable."""
        secret = await self._get(SECRETS, secret_name(wish), wish.client_namespace)
        if secret is None:
            return None
        found = _found(secret, status.secret_uid, wish.uid)
        return await _with_credential(found, secret) if contents else found

    async def put_secret(self, wish: Wish, step: Issue, body: Json) -> Found:
        """Make the Secret, or write into the one that was read; returns it as it is now. Raises Conflict where it changed."""
        name = secret_name(wish)
        if not step.uid:
            made = await self._client.create(SECRETS, body, wish.client_namespace)
        else:
            body["metadata"] |= {"uid": step.uid, "resourceVersion": step.version}
            made = await self._client.patch(SECRETS, name, body, namespace=wish.client_namespace)
        return await _with_credential(_found(made, step.uid, wish.uid), made)

    async def put_rule(self, wish: Wish, step: PutRule, rules: Resource) -> Found:
        """Make the rule, or give the one that was read this spec; returns it as it is now. Raises Conflict where it changed."""
        if not step.uid:
            body = {"metadata": metadata(wish, step.name), "spec": step.spec}
            made = await self._client.create(rules, body, wish.client_namespace)
        else:
            patch: list[Json] = [
                {"op": "replace", "path": "/metadata/resourceVersion", "value": step.version},
                {"op": "replace", "path": "/spec", "value": step.spec},
            ]
            made = await self._client.patch(rules, step.name, patch, namespace=wish.client_namespace, kind="json")
        return _found(made, step.uid, wish.uid)

    async def drop(self, wish: Wish, step: DropRule | DropSecret, rules: Resource) -> None:
        """Delete one object, if it still is the one that was read; returns when it is gone. Raises Conflict, ApiError.

        What holds it is taken off, its finalizers: it is ours, and a path that is to end waits for nobody.
        """
        resource, place = rules if isinstance(step, DropRule) else SECRETS, wish.client_namespace
        with contextlib.suppress(NotFound):
            await self._client.delete(resource, step.name, place, uid=step.uid)
        if (there := await self._still(resource, step, place)) is None:
            return
        held = {"uid": step.uid, "resourceVersion": there["metadata"]["resourceVersion"], "finalizers": None}
        with contextlib.suppress(NotFound):
            await self._client.patch(resource, step.name, {"metadata": held}, namespace=place)
        if await self._still(resource, step, place) is not None:
            raise api_error(409, "Conflict", f"{resource.kind} {place}/{step.name} is deleted, and still there")

    async def _still(self, resource: Resource, step: DropRule | DropSecret, place: str) -> Json | None:
        there = await self._get(resource, step.name, place)
        return there if there is not None and there["metadata"]["uid"] == step.uid else None

    async def uid(self, key: tuple[str, str]) -> str:
        """Read the uid of the TenantBridge that has this namespace and name now; "" for none. Raises ApiError, Unreachable."""
        found = await self._get(TENANT_BRIDGES, key[1], key[0])
        return str(found["metadata"]["uid"]) if found is not None else ""

    async def sweep(self, stray: Stray, rules: Resource) -> None:
        """Delete what was made for a bridge that is gone, if its label still says so. Raises Conflict, ApiError."""
        of_rule = stray.kind == rules.kind
        there = await self._get(rules if of_rule else SECRETS, stray.name, stray.namespace)
        if there is None or (there["metadata"].get("labels") or {}).get(BRIDGE_UID) != stray.bridge:
            return
        wish, uid = Wish("", "", stray.bridge, client_namespace=stray.namespace), str(there["metadata"]["uid"])
        await self.drop(wish, DropRule(stray.name, uid) if of_rule else DropSecret(stray.name, uid), rules)

    async def write_status(self, obj: TenantBridge, status: TenantBridgeStatus) -> TenantBridge:
        """Write the status as it should be, on the version that was decided on. Raises Conflict, NotFound, ApiError."""
        gone = {name: None for name in obj.status.rules if name not in status.rules}
        body: Json = {**_STATUS_FIELDS, **msgspec.to_builtins(status)}
        body["rules"] = {**status.rules, **gone}
        patch = {"metadata": _version(obj), "status": body}
        meta = obj.metadata
        made = await self._client.patch(
            TENANT_BRIDGES, meta.name, patch, namespace=meta.namespace, subresource="status"
        )
        return msgspec.convert(made, TenantBridge)

    async def hold(self, obj: TenantBridge) -> TenantBridge:
        """Set our finalizer; returns the object with it. Raises Conflict, NotFound, ApiError."""
        return msgspec.convert(await self._finalizers(obj, (FINALIZER,)), TenantBridge)

    async def release(self, obj: TenantBridge) -> None:
        """Take our finalizer, if the object is still there. Raises Conflict, ApiError."""
        with contextlib.suppress(NotFound):
            await self._finalizers(obj, ())

    async def _finalizers(self, obj: TenantBridge, ours: Iterable[str]) -> Json:
        meta = obj.metadata
        others = [one for one in meta.finalizers if one != FINALIZER]
        patch = {"metadata": {**_version(obj), "finalizers": [*others, *ours]}}
        return await self._client.patch(TENANT_BRIDGES, meta.name, patch, namespace=meta.namespace)

    async def _get(self, resource: Resource, name: str, namespace: str) -> Json | None:
        try:
            return await self._client.get(resource, name, namespace)
        except NotFound:
            return None


def _version(obj: TenantBridge) -> Json:
    return {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid}


def _found(obj: Json, recorded: str, bridge: str) -> Found:
    meta: dict[str, Any] = obj["metadata"]
    uid, labels = str(meta["uid"]), meta.get("labels") or {}
    ours = uid == recorded if recorded else labels.get(BRIDGE_UID) == bridge
    return Found(
        uid,
        str(meta["resourceVersion"]),
        ours=ours,
        spec=obj.get("spec") or {},
        leaving=bool(meta.get("deletionTimestamp")),
        immutable=bool(obj.get("immutable")),
    )


async def _with_credential(found: Found, secret: Json) -> Found:
    """Add what a Secret of ours holds; nothing is read of another."""
    if not found.ours:
        return found
    return replace(found, credential=await asyncio.to_thread(read_credential, read_secret(secret)))
