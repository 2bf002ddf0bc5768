"""What the annotations of an object ask for."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signer.api.casource import CASourceSpec, source_name
from signer.api.injectable import (
    ASKING,
    INJECT_API_SERVER_CA,
    INJECT_CA_FROM,
    INJECT_CA_FROM_SECRET,
    Injectable,
    asking,
)
from signer.api.meta import ObjectMeta
from signer.api.names import is_label, is_subdomain
from signer.injector.asked import ApiServerCA, Defect, asked_for


def spec(kind: str, namespace: str, name: str) -> CASourceSpec:
    return CASourceSpec(kind=kind, namespace=namespace, name=name)


@pytest.mark.parametrize(
    ("annotations", "source"),
    [
        ({}, None),
        ({"other": "a/b"}, None),
        ({INJECT_CA_FROM: "a/b"}, spec("Certificate", "a", "b")),
        ({INJECT_CA_FROM_SECRET: "a/b.c"}, spec("Secret", "a", "b.c")),
        ({INJECT_API_SERVER_CA: "true"}, ApiServerCA()),
        ({INJECT_API_SERVER_CA: "false"}, None),
        ({INJECT_API_SERVER_CA: ""}, None),
        ({INJECT_CA_FROM: "", INJECT_CA_FROM_SECRET: "a/b"}, spec("Secret", "a", "b")),
        (
            {INJECT_CA_FROM: "a/b", INJECT_CA_FROM_SECRET: "c/d", INJECT_API_SERVER_CA: "true"},
            spec("Certificate", "a", "b"),
        ),
        ({INJECT_CA_FROM_SECRET: "c/d", INJECT_API_SERVER_CA: "true"}, spec("Secret", "c", "d")),
    ],
)
def test_what_is_asked_for(annotations: dict[str, str], source: object) -> None:
    """Each annotation means what cert-manager means by it; of several, the first in its order counts."""
    assert asked_for(annotations) == source


@given(value=st.text(min_size=1, max_size=400))
@example(value="../../secrets")
@example(value="a/b/c")
@example(value="a\n/b")
@example(value="a" * 64 + "/b")
@pytest.mark.parametrize("annotation", [INJECT_CA_FROM, INJECT_CA_FROM_SECRET])
def test_a_reference_that_names_nothing(annotation: str, value: str) -> None:
    """What is no NAMESPACE/NAME is told in one short line that names the annotation; it never becomes a path or a name."""
    found = asked_for({annotation: value})
    namespace, _, name = value.partition("/")
    if is_label(namespace) and is_subdomain(name):
        assert isinstance(found, CASourceSpec)
        return
    assert isinstance(found, Defect)
    assert found.message.startswith(f"{annotation}: ")
    assert len(found.message) < 400
    assert found.message.isprintable()


@pytest.mark.parametrize("value", ["True", "yes", "1", " true", "a/b"])
def test_neither_true_nor_false(value: str) -> None:
    """A value that cert-manager would take for no is told, since whoever wrote it means yes."""
    found = asked_for({INJECT_API_SERVER_CA: value})
    assert isinstance(found, Defect)
    assert INJECT_API_SERVER_CA in found.message


def test_namespaces_that_are_allowed() -> None:
    """With a list of namespaces, CAs come from those alone; the API server's is not among them and stays."""
    only = frozenset({"a"})
    assert asked_for({INJECT_CA_FROM: "a/x"}, only) == spec("Certificate", "a", "x")
    for annotation in (INJECT_CA_FROM, INJECT_CA_FROM_SECRET):
        refused = asked_for({annotation: "b/x"}, only)
        assert isinstance(refused, Defect)
        assert refused.reason == "NamespaceNotAllowed"
    assert asked_for({INJECT_API_SERVER_CA: "true"}, only) == ApiServerCA()


def test_what_is_kept_of_an_object() -> None:
    """Of an object that asks, its name and its question are kept; of any other nothing."""
    annotations = {INJECT_CA_FROM: "a/b", "kubectl.kubernetes.io/last-applied-configuration": "x" * 10_000}
    meta = ObjectMeta(name="n", uid="u", resource_version="7", annotations=annotations, labels={"a": "b"})
    kept = asking(Injectable(metadata=meta))
    assert kept is not None
    assert kept.metadata == ObjectMeta(name="n", uid="u", resource_version="7", annotations={INJECT_CA_FROM: "a/b"})
    assert asking(Injectable(metadata=ObjectMeta(name="n", annotations={"a": "b"}))) is None
    assert len(ASKING) == 3


@given(
    st.lists(
        st.tuples(st.sampled_from(["Certificate", "Secret"]), st.text("ab.-", max_size=4), st.text("ab.-", max_size=4))
    )
)
def test_one_casource_for_one_source(parts: list[tuple[str, str, str]]) -> None:
    """Two sources never share a CASource, and its name is one that Kubernetes takes."""
    specs = [spec(*one) for one in parts]
    assert len({source_name(one) for one in specs}) == len(set(specs))
    assert all(is_subdomain(source_name(one)) for one in specs)
