"""SubjectAccessReviews: what is asked, and that nothing but a yes is one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.accessreview import groups_of, is_allowed, review

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["allowed", "denied"]), inner),
    max_leaves=5,
)


@given(JSON)
def test_only_a_yes_is_one(status: Any) -> None:
    """Whatever an answer says, it allows something only by saying so; "true" as a text or a number does not."""
    said = isinstance(status, dict) and status.get("allowed") is True
    assert is_allowed({"status": status}) is said
    assert not is_allowed({})


@pytest.mark.parametrize(
    ("user", "groups"),
    [
        ("jane", ("system:authenticated",)),
        ("system:node:n", ("system:authenticated",)),
        ("system:serviceaccount:a", ("system:authenticated",)),
        ("system:serviceaccount:a:b:c", ("system:authenticated",)),
        (
            "system:serviceaccount:a:b",
            ("system:authenticated", "system:serviceaccounts", "system:serviceaccounts:a"),
        ),
    ],
)
def test_groups(user: str, groups: tuple[str, ...]) -> None:
    """A ServiceAccount is in the groups that its token has, nobody else in them."""
    assert groups_of(user) == groups


def test_what_is_asked() -> None:
    """The question has the user with all that is known of him, and what he wants."""
    asked = review("jane", ("a",), {"verb": "list"}, uid="u", extra={"k": ["v"]})
    assert (asked["apiVersion"], asked["kind"]) == ("authorization.k8s.io/v1", "SubjectAccessReview")
    spec = {"user": "jane", "groups": ["a"], "uid": "u", "extra": {"k": ["v"]}, "resourceAttributes": {"verb": "list"}}
    assert asked["spec"] == spec
