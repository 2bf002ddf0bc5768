"""CertificateSigningRequests as bytes: read without loss, answered without touching what we do not know."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificatesigningrequest import (
    CertificateSigningRequest,
    Head,
    read_certificate,
    read_content,
    read_head,
    read_object,
    with_certificate,
    with_failed,
)
from signer.kube.encoding import protobuf
from signer.kube.encoding.protobuf import ProtobufError, fields
from tests.fakes.envelopes import unwrap
from tests.unit.csr.crafted import FOO_SIGNER, GROUPS, ISTIOD, NOW, USAGES, encoded, request, workload

PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


class TestReading:
    def test_what_decides(self) -> None:
        """Name, uid, resourceVersion, signer name, conditions and certificate are read."""
        csr = request(conditions=("Approved", "Failed"), certificate=PEM)
        assert (csr.name, csr.uid, csr.resource_version) == ("request-1", "uid-1", "7")
        assert csr.signer_name == FOO_SIGNER
        assert csr.conditions == {"Approved", "Failed"}
        assert csr.has_certificate

    def test_the_rest(self) -> None:
        """What is asked for and by whom is read as the API server recorded it, in order."""
        content = read_content(
            request(
                annotations={"a": "1", "b": ""},
                extra={"authentication.kubernetes.io/pod-name": ("istiod-1",), "empty": (), "two": ("x", "y")},
            )
        )
        assert content.request == workload()
        assert content.usages == USAGES
        assert content.expiration_seconds == 86400
        assert content.annotations == {"a": "1", "b": ""}
        assert (content.username, content.user_uid, content.groups) == (ISTIOD, "u-istiod", GROUPS)
        assert content.extra == {
            "authentication.kubernetes.io/pod-name": ("istiod-1",),
            "empty": (),
            "two": ("x", "y"),
        }

    @pytest.mark.parametrize("seconds", [None, 0, 600, 2**31 - 1, -1, -(2**31)])
    def test_expiration(self, seconds: int | None) -> None:
        """ExpirationSeconds may be missing, and a negative one stays negative."""
        assert read_content(request(expiration=seconds)).expiration_seconds == seconds

    @given(
        st.fixed_dictionaries(
            {
                "name": texts,
                "uid": texts,
                "version": texts,
                "signer": texts,
                "request": st.binary(max_size=300),
                "usages": st.lists(texts, max_size=3),
                "expiration": st.none() | st.integers(-(2**31), 2**31 - 1),
                "annotations": st.dictionaries(texts, texts, max_size=3),
                "username": texts,
                "groups": st.lists(texts, max_size=3),
                "extra": st.dictionaries(texts, st.lists(texts, max_size=3), max_size=3),
                "conditions": st.lists(texts, max_size=3),
                "certificate": st.binary(max_size=200),
            }
        )
    )
    def test_any_object(self, given_fields: dict[str, Any]) -> None:
        """Whatever the fields hold, they are read back as they are."""
        csr = request(**given_fields)
        content = read_content(csr)
        assert (csr.name, csr.uid, csr.resource_version, csr.signer_name) == (
            given_fields["name"],
            given_fields["uid"],
            given_fields["version"],
            given_fields["signer"],
        )
        assert csr.conditions == set(given_fields["conditions"])
        assert csr.has_certificate == bool(given_fields["certificate"])
        assert read_certificate(csr) == given_fields["certificate"]
        assert content.request == given_fields["request"]
        assert content.usages == tuple(given_fields["usages"])
        assert content.expiration_seconds == given_fields["expiration"]
        assert content.annotations == given_fields["annotations"]
        assert content.username == given_fields["username"]
        assert content.groups == tuple(given_fields["groups"])
        assert content.extra == {key: tuple(values) for key, values in given_fields["extra"].items()}

    @given(st.binary(max_size=200))
    def test_hostile_bytes(self, hostile: bytes) -> None:
        """Bytes that are no such message raise ProtobufError and nothing else."""
        read_all(hostile)

    @given(st.data())
    def test_damaged_objects(self, data: st.DataObject) -> None:
        """An object with some bytes changed, cut out or put in is read, or raises ProtobufError and nothing else."""
        raw = bytearray(encoded(annotations={"a": "b"}, extra={"k": ("v",)}, certificate=PEM, request=b"x"))
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(0, len(raw) - 1))
            raw[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        read_all(bytes(raw))

    def test_within_a_list(self) -> None:
        """An object is read from the middle of a larger buffer without its neighbours."""
        raw = encoded()
        csr = read_object(b"\xff\xff" + raw + b"\xff", 2, 2 + len(raw))
        assert csr == request()
        assert csr.raw == raw


def read_all(raw: bytes) -> None:
    try:
        csr = read_object(raw)
        read_content(csr)
        read_certificate(csr)
    except ProtobufError:
        return
    assert csr.raw == raw


class TestHead:
    @pytest.mark.parametrize(
        ("conditions", "certificate", "state"),
        [
            ((), b"", "new"),
            (("Approved",), b"", "approved"),
            (("Approved",), PEM * 30, "certified"),
            (("Approved", "Failed"), b"", None),
            (("Denied",), b"", None),
            ((), PEM, None),
        ],
    )
    def test_states(self, conditions: tuple[str, ...], certificate: bytes, state: str | None) -> None:
        """The three usual states are told by the head alone, all others by reading the object."""
        head = read_head(encoded(conditions=conditions, certificate=certificate))
        assert head == (Head("uid-1", state) if state is not None else None)  # type: ignore[arg-type]

    @given(st.data())
    def test_it_says_the_same(self, data: st.DataObject) -> None:
        """What a head says of an object, whole or damaged, the whole object says, if it can be read."""
        conditions = data.draw(st.sampled_from([(), ("Approved",), ("Failed",), ("Approved", "Denied")]))
        certificate = data.draw(st.sampled_from([b"", PEM, PEM * 30]))
        raw = bytearray(encoded(conditions=conditions, certificate=certificate, annotations={"a": "b" * 200}))
        for _ in range(data.draw(st.integers(0, 2))):
            position = data.draw(st.integers(0, len(raw) - 1))
            raw[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        head = read_head(bytes(raw))
        if head is None:
            return
        try:
            csr = read_object(bytes(raw))
        except ProtobufError:
            return
        assert csr.has_certificate == (head.state == "certified")
        assert csr.conditions == (frozenset() if head.state == "new" else {"Approved"})

    @given(st.binary(max_size=100))
    def test_any_bytes(self, hostile: bytes) -> None:
        """No bytes make it fail."""
        read_head(hostile)


class TestState:
    @pytest.mark.parametrize(
        ("conditions", "approved"),
        [
            ((), False),
            (("Approved",), True),
            (("Approved", "Other"), True),
            (("Other",), False),
            (("Denied",), False),
            (("Approved", "Denied"), False),
            (("approved",), False),
        ],
    )
    def test_approved(self, conditions: tuple[str, ...], approved: bool) -> None:
        """Approved is one with that condition and without Denied."""
        assert request(conditions=conditions).approved is approved

    @pytest.mark.parametrize(
        ("conditions", "certificate", "answered"),
        [
            ((), b"", False),
            (("Approved",), b"", False),
            (("Approved",), PEM, True),
            (("Approved", "Failed"), b"", True),
            (("Denied",), b"", True),
            (("Failed",), b"", True),
        ],
    )
    def test_answered(self, conditions: tuple[str, ...], certificate: bytes, answered: bool) -> None:
        """Answered is one that has its certificate, or was denied, or has failed."""
        assert request(conditions=conditions, certificate=certificate).answered is answered

    def test_an_empty_certificate_is_none(self) -> None:
        """A status that holds an empty certificate, as some writers have it, is no answer."""
        csr = read_object(encoded() + protobuf.write_bytes_field(3, protobuf.write_bytes_field(2, b"")))
        assert not csr.has_certificate
        assert not csr.answered

    def test_same_version_same_object(self) -> None:
        """Two readings of one version are equal, so that the watch reports no change; a new version is another."""
        assert request() == request()
        assert request(version="8") != request()

    def test_no_bytes_in_a_repr(self) -> None:
        """A repr, which may reach a log, does not carry the raw object."""
        assert "raw" not in repr(request())
        assert "request=" not in repr(read_content(request()))


def stored(body: bytes) -> CertificateSigningRequest:
    """Open a PUT's body as the API server does."""
    envelope = unwrap(body)
    assert (envelope.api_version, envelope.kind) == ("certificates.k8s.io/v1", "CertificateSigningRequest")
    return read_object(envelope.raw)


def status_conditions(raw: bytes) -> list[dict[int, int | bytes]]:
    """Collect status.conditions of all status fields of an object, merged as protobuf merges them."""
    found: list[dict[int, int | bytes]] = []
    for field in fields(raw):
        if field.number == 3 and isinstance(field.value, bytes):
            found.extend(
                {part.number: part.value for part in fields(inner.value)}
                for inner in fields(field.value)
                if inner.number == 1 and isinstance(inner.value, bytes)
            )
    return found


class TestAnswering:
    # Field 15 of spec is from a later Kubernetes.
    UNKNOWN = protobuf.write_bytes_field(15, b"later")

    def test_with_certificate(self) -> None:
        """The body is the object itself, byte for byte, with the certificate added to its status."""
        csr = request(unknown=self.UNKNOWN, annotations={"a": "b"})
        after = stored(with_certificate(csr, PEM))
        assert after.raw.startswith(csr.raw)
        assert read_certificate(after) == PEM
        assert after.has_certificate
        assert (after.name, after.uid, after.resource_version) == ("request-1", "uid-1", "7")
        assert after.conditions == {"Approved"}
        assert read_content(after) == read_content(csr)

    def test_with_failed(self) -> None:
        """The body is the object itself with the condition Failed added to those that it has."""
        csr = request(unknown=self.UNKNOWN)
        after = stored(with_failed(csr, reason="SigningError", message="no: ¶", now=NOW))
        assert after.raw.startswith(csr.raw)
        assert after.conditions == {"Approved", "Failed"}
        assert after.answered
        assert not after.has_certificate
        assert read_content(after) == read_content(csr)
        seconds = protobuf.write_varint_field(1, int(NOW.timestamp()))
        assert status_conditions(after.raw)[-1] == {
            1: b"Failed",
            2: b"SigningError",
            3: "no: ¶".encode(),
            4: seconds,
            5: seconds,
            6: b"True",
        }

    @given(st.binary(max_size=70_000), st.sampled_from([(), ("Approved",), ("Approved", "Other")]))
    def test_any_certificate(self, pem: bytes, conditions: tuple[str, ...]) -> None:
        """A certificate of any length is stored whole, beside the conditions that are there."""
        after = stored(with_certificate(request(conditions=conditions), pem))
        assert read_certificate(after) == pem
        assert after.conditions == set(conditions)
        assert (after.name, after.resource_version) == ("request-1", "7")

    @given(texts, texts)
    def test_any_refusal(self, reason: str, message: str) -> None:
        """Reason and message of any text are stored whole, and Approved stays."""
        after = stored(with_failed(request(), reason=reason, message=message, now=NOW))
        assert after.conditions == {"Approved", "Failed"}
        last = status_conditions(after.raw)[-1]
        assert (last[2], last[3]) == (reason.encode(), message.encode())
