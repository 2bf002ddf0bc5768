"""ProxyConfigs as tenants write them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.proxyconfig import ProxyConfig

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["selector", "environmentVariables", "matchLabels", "ISTIO_META_CERT_SIGNER", "image"]), JSON
)


def read(spec: Any) -> ProxyConfig:
    raw = {"apiVersion": "networking.istio.io/v1beta1", "metadata": {"name": "pc", "namespace": "foo"}, "spec": spec}
    return msgspec.json.decode(msgspec.json.encode(raw), type=ProxyConfig)


def test_the_tasks_own() -> None:
    """The ProxyConfig of the Istio task asks for its signer, for the whole namespace."""
    found = read({"environmentVariables": {"ISTIO_META_CERT_SIGNER": "foo", "OTHER": "x"}, "concurrency": 0})
    assert found.problem == ""
    assert found.cert_signer == "foo"
    assert found.spec.selector is None


@pytest.mark.parametrize("spec", [None, {}, {"environmentVariables": None}, {"environmentVariables": {"OTHER": "x"}}])
def test_no_signer(spec: Any) -> None:
    """Without the variable nothing is asked for, and that is no fault."""
    found = read(spec)
    assert (found.cert_signer, found.problem) == ("", "")


@pytest.mark.parametrize("selector", [{}, {"matchLabels": None}, {"matchLabels": {}}])
def test_an_empty_selector_is_one(selector: Any) -> None:
    """A selector without labels is a selector, not the whole namespace."""
    found = read({"selector": selector})
    assert found.spec.selector is not None
    assert not found.spec.selector.match_labels


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("x", "spec:"),
        ({"environmentVariables": ["x"]}, "spec.environmentVariables:"),
        ({"environmentVariables": {"ISTIO_META_CERT_SIGNER": 1}}, "spec.environmentVariables"),
        ({"selector": "all"}, "spec.selector:"),
        ({"selector": {"matchLabels": ["a"]}}, "spec.selector.matchLabels:"),
    ],
)
def test_what_cannot_be_read(spec: Any, field: str) -> None:
    """A malformed one names the field, and asks for nothing."""
    found = read(spec)
    assert found.problem.startswith(field)
    assert found.cert_signer == ""


@given(JSON | FIELDS)
def test_reading_never_fails(spec: Any) -> None:
    """Whatever a spec holds, it is read or has a problem, and only a readable one asks for a signer."""
    found = read(spec)
    assert isinstance(found.problem, str)
    assert not (found.problem and found.cert_signer)
