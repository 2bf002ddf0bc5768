"""Who made a CertificateRequest, where the API server vouches for it.

spec.username and its companions are written by the author himself. They are evidence only where an admission policy
refuses a false one: certificaterequests.mesh-signer.dev (manifests/crds). So before a user name counts, that policy and
its binding are read, live, and compared with what we ship; they must have stood as they are since before the request
was made, for else its author may have written what he liked. What was read counts for ten seconds. Used on the loop.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from signer.api.certificaterequest import CertificateRequest
from signer.api.meta import from_rfc3339
from signer.kube.client import ApiClient
from signer.kube.errors import Forbidden, NotFound
from signer.kube.objects import Json
from signer.kube.resource import Resource

_GROUP = "admissionregistration.k8s.io"
POLICIES = Resource(_GROUP, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False)
BINDINGS = Resource(
    _GROUP, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)
GUARD = "certificaterequests.mesh-signer.dev"
"""The name of the policy, and of its binding."""
GUARDED = (
    "request.operation != 'CREATE' || !has(object.spec.username) || object.spec.username == request.userInfo.username",
    (
        "request.operation != 'UPDATE' || (has(object.spec.username) ? object.spec.username : '') =="
        " (has(oldObject.spec.username) ? oldObject.spec.username : '')"
    ),
)
"""What the policy must require; a validation that it has besides refuses more, never less."""

# An API server heeds a policy a moment after it was stored, and each for itself.
_SETTLES = timedelta(seconds=10)
_KEPT = timedelta(seconds=10)


class Requesters:
    """Tells who made a request. `clock` gives the time of day."""

    def __init__(self, client: ApiClient, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read: datetime | None = None
        self._since: datetime | None = None

    async def of(self, request: CertificateRequest) -> str:
        """Return the user name of who made it, "" when nobody vouches for it. Raises ApiError, Unreachable."""
        if not request.spec.username:
            return ""
        async with self._lock:
            if self._read is None or not timedelta(0) <= self._clock() - self._read < _KEPT:
                self._since = vouched_since(await self._get(POLICIES), await self._get(BINDINGS))
                self._read = self._clock()
        return vouched(request, self._since)

    async def _get(self, resource: Resource) -> Json | None:
        try:
            return await self._client.get(resource, GUARD)
        except (NotFound, Forbidden):
            # Not there, not served by this API server, or not ours to see: all the same, nobody vouches.
            return None


def vouched(request: CertificateRequest, since: datetime | None) -> str:
    """Return the user name of who made a request, where false ones were refused `since` (vouched_since); else ""."""
    created = from_rfc3339(request.metadata.creation_timestamp)
    return request.spec.username if created is not None and since is not None and created > since else ""


def vouched_since(policy: Json | None, binding: Json | None) -> datetime | None:
    """Tell since when no CertificateRequest has a false requester; None when one may have.

    Any change of the two objects counts as their beginning: nobody knows what stood there before it.
    """
    if policy is None or binding is None or not _guards(policy) or not _binds(binding):
        return None
    since = datetime.min.replace(tzinfo=UTC)
    for moment in (moment for obj in (policy, binding) for moment in _written(obj)):
        if moment is None:
            return None
        since = max(since, moment)
    return since + _SETTLES


def _guards(policy: Json) -> bool:
    """Whether every CertificateRequest meets what is required: nothing narrows the policy, and no failure opens it."""
    spec = _mapping(policy.get("spec"))
    rules = _mapping(spec.get("matchConstraints"))
    told = {" ".join(str(_mapping(one).get("expression", "")).split()) for one in _listed(spec.get("validations"))}
    return (
        spec.get("failurePolicy", "Fail") == "Fail"
        and not spec.get("matchConditions")
        and not spec.get("paramKind")
        and not _narrows(rules)
        and any(map(_all_requests, _listed(rules.get("resourceRules"))))
        and told.issuperset(GUARDED)
    )


def _all_requests(rule: Any) -> bool:
    rule = _mapping(rule)

    def has(field: str, *wanted: str) -> bool:
        found = _listed(rule.get(field))
        return "*" in found or set(wanted) <= {str(one) for one in found}

    versions = "*" in _listed(rule.get("apiVersions"))
    everywhere = rule.get("scope", "*") in {"*", "Namespaced"} and not rule.get("resourceNames")
    return (
        everywhere
        and versions
        and has("apiGroups", "cert-manager.io")
        and has("operations", "CREATE", "UPDATE")
        and has("resources", "certificaterequests")
    )


def _binds(binding: Json) -> bool:
    spec = _mapping(binding.get("spec"))
    return (
        spec.get("policyName") == GUARD
        and "Deny" in _listed(spec.get("validationActions"))
        and not spec.get("paramRef")
        and not _mapping(spec.get("matchResources")).get("resourceRules")
        and not _narrows(_mapping(spec.get("matchResources")))
    )


def _narrows(match: Json) -> bool:
    """Whether something is left out: by label, or by a rule. The API server fills in empty selectors."""
    return bool(match.get("namespaceSelector") or match.get("objectSelector") or match.get("excludeResourceRules"))


def _written(obj: Json) -> Iterable[datetime | None]:
    """When the object was made, and each time that somebody changed it; its status says nothing that counts."""
    metadata = _mapping(obj.get("metadata"))
    yield from_rfc3339(str(metadata.get("creationTimestamp") or ""))
    for entry in map(_mapping, _listed(metadata.get("managedFields"))):
        if entry.get("subresource") != "status":
            yield from_rfc3339(str(entry.get("time") or ""))


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
