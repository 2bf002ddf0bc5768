"""Records for External-DNS: one DNSEndpoint for each name, with the values of all Challenges that are under way for it.

Runs on the loop, in the leader. Whose a value is stands in the object, by the Challenge's UID: a restart finds it by that.
"""

from typing import Any

from signer.edge.challenges.each import EachForItself, InTheWay
from signer.edge.dns01.record import DNS_ENDPOINTS, MOST_HELD, dns_endpoint, endpoint_name, held, holder
from signer.kube.client import ApiClient
from signer.kube.errors import Forbidden, Invalid, NotFound
from signer.tenancy.verdict import Reason

FAILED = "DNSEndpointFailed"


class Endpoints:
    """Writes DNSEndpoints."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def add(self, name: str, value: str, uid: str, namespace: str) -> Reason | None:
        """Ask for a value under a name. Raises Conflict when somebody else wrote in between."""
        where = f"DNSEndpoint {namespace}/{endpoint_name(name)}"
        try:
            found = await self._get(endpoint_name(name), namespace)
            if found is None:
                await self._client.create(DNS_ENDPOINTS, dns_endpoint(name, {uid: value}, namespace))
                return None
            values = held(found["metadata"])
            if values is None:
                return Reason(FAILED, f"{where} is not ours; delete it")
            if len(values | {uid: value}) > MOST_HELD:
                return Reason(FAILED, f"{where} has {len(values)} values already; this one waits")
            wanted = dns_endpoint(name, values | {uid: value}, namespace)
            if values.get(uid) != value or found.get("spec") != wanted["spec"]:
                await self._write(found, wanted)
        except NotFound:
            return Reason(FAILED, f"{where}: the cluster has no DNSEndpoints (External-DNS' CRD), or no such namespace")
        except (Forbidden, Invalid, ValueError) as error:
            return Reason(FAILED, f"{where}: {getattr(error, 'message', error)}")
        return None

    async def remove(self, uid: str) -> list[InTheWay]:
        """Take away what was asked for a Challenge, in whatever namespace. Raises Conflict as `add`.

        Each object has its turn, whatever becomes of another: returns those of which it is refused.
        """
        try:
            found = await self._client.list(DNS_ENDPOINTS, label_selector=holder(uid))
        except NotFound:
            return []  # the CRD is gone, and the objects with it
        each = EachForItself()
        for one in found:
            values = held(one["metadata"])
            if values is None:
                continue
            meta = one["metadata"]
            left = {key: value for key, value in values.items() if key != uid}
            name = _record_of(one)
            if uid not in values or meta["name"] != endpoint_name(name):
                continue  # anybody may set our labels: what has another name is none of ours
            with each.one(DNS_ENDPOINTS, meta):
                if left:
                    await self._write(one, dns_endpoint(name, left, meta["namespace"]))
                else:
                    unchanged = {"uid": meta["uid"], "resource_version": meta["resourceVersion"]}
                    await self._client.delete(DNS_ENDPOINTS, meta["name"], meta["namespace"], **unchanged)
        return each.done()

    async def _get(self, name: str, namespace: str) -> dict[str, Any] | None:
        try:
            return await self._client.get(DNS_ENDPOINTS, name, namespace)
        except NotFound:
            return None

    async def _write(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Make an object what it should be, unless somebody wrote since it was read; status and others' fields stay."""
        before, after = found["metadata"], wanted["metadata"]
        gone = {key: None for key in held(before) or {} if holder(key) not in after["annotations"]}
        removed = {holder(key): None for key in gone}
        metadata = {
            "resourceVersion": before["resourceVersion"],
            "labels": after["labels"] | removed,
            "annotations": after["annotations"] | removed,
        }
        body = {"metadata": metadata, "spec": wanted["spec"]}
        await self._client.patch(DNS_ENDPOINTS, before["name"], body, namespace=before["namespace"])


def _record_of(endpoint: dict[str, Any]) -> str:
    """The name of the record that an object asks for; "" for an object that is not as we make them."""
    spec = endpoint.get("spec")
    listed = spec.get("endpoints") if isinstance(spec, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    return str(first.get("dnsName", "")) if isinstance(first, dict) else ""
