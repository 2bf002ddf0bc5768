"""SubjectAccessReviews: may this user do that? Asked of the API server, and kept nowhere. Pure.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from collections.abc import Iterable, Mapping
from typing import Any

from signer.kube.resource import Resource

SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)


def groups_of(user: str) -> tuple[str, ...]:
    """Return the groups that a user has by the API server's own rules: a ServiceAccount its two, and all are authenticated."""
    parts = user.split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:
        return ("system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{parts[2]}")
    return ("system:authenticated",)


def review(user: str, groups: Iterable[str], attributes: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Return the question to create. `attributes` are spec.resourceAttributes, `more` further fields of its spec (uid, extra)."""
    return {
        "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version,
        "kind": SUBJECT_ACCESS_REVIEWS.kind,
        "spec": {"user": user, "groups": list(groups), **more, "resourceAttributes": dict(attributes)},
    }


def is_allowed(answer: Mapping[str, Any]) -> bool:
    """Tell whether the answer is a yes; anything else is none."""
    status = answer.get("status")
    return isinstance(status, dict) and status.get("allowed") is True
