"""Conditions, times and lenient reading."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import CERTIFICATES, Certificate, CertificateSpec, IssuerReference
from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import Issuer, IssuerRef
from signer.api.meta import (
    Condition,
    ObjectMeta,
    find_condition,
    from_rfc3339,
    has_condition,
    set_condition,
    to_rfc3339,
    unsupported_fields,
)
from signer.api.secret import Managed, Secret

NOW = datetime(2026, 6, 1, 12, 0, 0, 999_999, tzinfo=UTC)


def ready(**changes: Any) -> Condition:
    fields: dict[str, Any] = {"type": "Ready", "status": "True", "reason": "R", "message": "m"}
    return Condition(**(fields | {"last_transition_time": "2026-01-01T00:00:00Z"} | changes))


class TestConditions:
    def test_set(self) -> None:
        """A condition is replaced where it stands; the time moves only with the status."""
        others = (Condition(type="A", status="True"), ready(), Condition(type="B", status="True"))
        same = set_condition(others, "Ready", "True", reason="R", message="m", now=NOW)
        assert same == others
        told = set_condition(others, "Ready", "True", reason="S", message="n", now=NOW, generation=2)
        assert [c.type for c in told] == ["A", "Ready", "B"]
        assert told[1] == ready(reason="S", message="n", observed_generation=2)
        turned = set_condition(others, "Ready", "False", reason="R", message="m", now=NOW)
        assert turned[1].last_transition_time == "2026-06-01T12:00:00Z"

    def test_add(self) -> None:
        """A new condition comes last, with the time of now."""
        added = set_condition((ready(),), "Issuing", "True", reason="R", message="m", now=NOW)
        assert [c.type for c in added] == ["Ready", "Issuing"]
        assert added[1].last_transition_time == "2026-06-01T12:00:00Z"

    def test_missing_time_is_set(self) -> None:
        """A condition that somebody wrote without a time gets one."""
        bare = (ready(last_transition_time=None),)
        found = set_condition(bare, "Ready", "True", reason="R", message="m", now=NOW)
        assert found[0].last_transition_time == "2026-06-01T12:00:00Z"

    def test_find(self) -> None:
        """Type and status are both part of the question."""
        assert find_condition((ready(),), "Ready") == ready()
        assert find_condition((ready(),), "Other") is None
        assert has_condition((ready(),), "Ready")
        assert not has_condition((ready(status="False"),), "Ready")
        assert has_condition((ready(status="False"),), "Ready", "False")
        assert not has_condition((), "Ready", "False")


class TestTimes:
    def test_written(self) -> None:
        """UTC, whole seconds, cut."""
        assert to_rfc3339(NOW) == "2026-06-01T12:00:00Z"
        assert to_rfc3339(NOW.astimezone(timezone(timedelta(hours=2)))) == "2026-06-01T12:00:00Z"

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-06-01T12:00:00Z", NOW.replace(microsecond=0)),
            ("2026-06-01T14:00:00+02:00", NOW.replace(microsecond=0)),
            ("2026-06-01T12:00:00.999999Z", NOW),
            (None, None),
            ("", None),
            ("yesterday", None),
            ("2026-06-01T12:00:00", None),
        ],
    )
    def test_read(self, text: str | None, moment: datetime | None) -> None:
        """RFC 3339 with a zone is read, all else is not a time."""
        assert from_rfc3339(text) == moment

    @given(year=st.integers(1, 9999), end=st.booleans(), hours=st.integers(-23, 23))
    def test_times_that_are_no_use(self, year: int, end: bool, hours: int) -> None:
        """Any time that can be written can be read, and years can be added to it and taken away."""
        text = f"{year:04}-{'12-31T23:59:59' if end else '01-01T00:00:00'}{hours:+03}:00"
        moment = from_rfc3339(text)
        assert moment is not None
        assert moment.tzinfo is UTC
        assert moment.year == year or abs(moment.year - year) == 1 or year < 1000 or year >= 9000
        far = timedelta(days=365 * 900)
        assert moment - far < moment < moment + far
        assert from_rfc3339(to_rfc3339(moment)) == moment


class TestReading:
    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ({"ca": {"secretName": 3}}, "spec.ca.secretName"),
            ({"ca": "text"}, "spec.ca"),
            ({"ca": {"ocspServers": ["a", 1]}}, "spec.ca.ocspServers[1]"),
            ("text", "spec"),
            ([], "spec"),
        ],
    )
    def test_wrong_types(self, spec: object, said: str) -> None:
        """A wrong type is told with its field, and the object can still be named."""
        issuer = msgspec.convert({"metadata": {"name": "x", "namespace": "n"}, "spec": spec}, Issuer)
        assert issuer.problem.startswith(said + ":")
        assert issuer.spec.ca is None
        assert issuer.ref == IssuerRef("Issuer", "n", "x")

    def test_null_and_missing(self) -> None:
        """No spec and a null spec are empty ones."""
        for body in ({"metadata": {"name": "x"}}, {"metadata": {"name": "x"}, "spec": None, "status": None}):
            issuer = msgspec.convert(body, Issuer)
            assert issuer.problem == ""
            assert issuer.status.conditions == ()

    def test_unreadable_status_is_empty(self) -> None:
        """A status that cannot be read counts as empty: it is ours to write again."""
        body = {"metadata": {"name": "x"}, "status": {"conditions": "junk"}}
        assert msgspec.convert(body, Certificate).status.conditions == ()
        assert msgspec.convert(body, CertificateRequest).status.conditions == ()
        assert msgspec.convert(body, Issuer).status.conditions == ()

    @pytest.mark.parametrize(
        ("raw", "found"),
        [
            ({}, ()),
            ({"secretName": "x", "isCA": True}, ()),
            ({"new": 1}, ("spec.new",)),
            ({"new": {}, "more": [], "text": "", "off": False, "none": None}, ()),
            ({"new": 0}, ("spec.new",)),
            ({"b": 1, "a": 1}, ("spec.a", "spec.b")),
            ({"privateKey": {"new": 1}}, ("spec.privateKey.new",)),
            ({"nameConstraints": {"permitted": {"new": 1}}}, ("spec.nameConstraints.permitted.new",)),
            ({"otherNames": [{}, {"new": 1}]}, ("spec.otherNames[1].new",)),
            ({"secretTemplate": {"labels": {"any": "thing"}}}, ()),
            ("junk", ()),
        ],
    )
    def test_unsupported(self, raw: object, found: tuple[str, ...]) -> None:
        """Every field that is set and unknown is named, at any depth; empty ones ask for nothing."""
        assert unsupported_fields(raw, CertificateSpec, "spec") == found

    def test_secret(self) -> None:
        """Data is decoded, and a repr shows the keys' names alone."""
        body = {"metadata": {"name": "a", "namespace": "n"}, "data": {"tls.key": "c2VjcmV0"}}
        found = msgspec.json.decode(msgspec.json.encode(body), type=Secret)
        assert found.data == {"tls.key": b"secret"}
        assert repr(found) == "Secret(n/a, type='Opaque', keys=['tls.key'])"

    def test_managed_fields(self) -> None:
        """Only what the named manager applied is its own; junk in the entries is nothing."""

        def entry(manager: str, operation: str, fields: object) -> dict[str, object]:
            return {"manager": manager, "operation": operation, "fieldsV1": fields}

        mine: Any = {
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}, "f:annotations": {"f:n/b": {}}},
            "f:data": {"f:k": {}},
        }
        theirs: Any = {"f:metadata": {"f:labels": {"f:c": {}}}}
        managed = [entry("me", "Apply", mine), entry("you", "Apply", theirs), entry("me", "Update", theirs)]
        unreadable: list[Any] = [None, "x", {"f:metadata": []}]
        managed += [entry("me", "Apply", junk) for junk in unreadable]
        found = msgspec.convert({"metadata": {"name": "a", "managedFields": managed}}, Secret)
        assert found.managed_by("me") == Managed({"a"}, {"n/b"}, {"k"})
        assert found.appliers() == {"me", "you"}


class TestReferences:
    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"name": "a"}, IssuerRef("Issuer", "n", "a")),
            ({"name": "a", "kind": "Issuer", "group": "cert-manager.io"}, IssuerRef("Issuer", "n", "a")),
            ({"name": "a", "kind": "ClusterIssuer"}, IssuerRef("ClusterIssuer", "", "a")),
            ({"name": "a", "kind": "clusterissuer"}, None),
            ({"name": "a", "group": "example.com"}, None),
            ({"name": ""}, None),
        ],
    )
    def test_resolve(self, fields: dict[str, str], found: IssuerRef | None) -> None:
        """Left out means Issuer of our group in the same namespace; other kinds and groups are not ours."""
        assert IssuerReference(**fields).resolve("n") == found

    def test_same_meaning(self) -> None:
        """Defaults written out mean the same as left out."""
        assert IssuerReference(name="a").normal() == ("a", "Issuer", "cert-manager.io")

    def test_owner(self) -> None:
        """Only the controlling owner with that uid owns an object; no uid is nobody's."""
        certificate = {"apiVersion": "cert-manager.io/v1alpha3", "kind": "Certificate"}
        owners = [
            {"uid": "1", "controller": True} | certificate,
            {"uid": "2", "controller": False} | certificate,
            {"uid": "3"} | certificate,
            {"uid": "", "controller": True} | certificate,
            {"uid": "4", "controller": True, "apiVersion": "cert-manager.io/v1", "kind": "Issuer"},
            {"uid": "5", "controller": True, "apiVersion": "example.org/v1", "kind": "Certificate"},
        ]
        meta = msgspec.convert({"name": "x", "ownerReferences": owners}, ObjectMeta)
        found = [uid for uid in ("1", "2", "3", "", "4", "5") if meta.owned_by(ObjectMeta(uid=uid), CERTIFICATES)]
        assert found == ["1"]

    @pytest.mark.parametrize(("namespace", "owned"), [("shop", True), ("", True), ("bar", False)])
    def test_owners_are_neighbours(self, namespace: str, owned: bool) -> None:
        """An object is its owner's in the owner's namespace only, whatever it says of itself in another one."""
        reference = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "uid": "1", "controller": True}
        unknown = {"apiVersion": "nope.example/v1", "kind": "Nope", "uid": "2"}
        raw = {"name": "x", "namespace": "shop", "ownerReferences": [unknown, reference]}
        meta = msgspec.convert(raw, ObjectMeta)
        assert meta.owned_by(ObjectMeta(name="web", namespace=namespace, uid="1"), CERTIFICATES) is owned
