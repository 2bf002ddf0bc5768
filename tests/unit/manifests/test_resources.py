"""What the CRDs and docs/resources.md say about support is what the program does."""

import re

import msgspec
import pytest

from manifests.generate.crd import kinds
from signer.api.certificate import CertificateSpec
from tests.unit.manifests.kustomize import MANIFESTS

SPECS = {kind.resource.kind: kind.spec for kind in kinds()}
PAGE = (MANIFESTS.parent / "docs" / "resources.md").read_text("utf-8")


def rows(kind: str) -> dict[str, str]:
    """Field -> what the page says of it."""
    section = next(part for part in PAGE.split("\n## ") if part.startswith(kind) or f", {kind}\n" in part)
    found: dict[str, str] = {}
    for line in section.splitlines():
        if match := re.match(r"\| (`.*`) \| (.*) \|$", line):
            for field in re.findall(r"`([^`]+)`", match[1]):
                found.setdefault(field.split(".")[0], match[2])
    return found


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_every_field_has_a_row(kind: str) -> None:
    """Each field of spec is in the page's table."""
    assert set(SPECS[kind]["properties"]) <= set(rows(kind))


def test_certificate_support_is_told_as_it_is() -> None:
    """The fields that the program does not read are those that schema and page call not supported, and no others."""
    read = {field.encode_name for field in msgspec.structs.fields(CertificateSpec)}
    unread = set(SPECS["Certificate"]["properties"]) - read
    described = {
        name for name, schema in SPECS["Certificate"]["properties"].items() if "not supported" in schema["description"]
    }
    told = {field for field, text in rows("Certificate").items() if text.startswith("refused")}
    assert unread == described == told


@pytest.mark.parametrize("kind", ["Issuer", "ClusterIssuer"])
def test_issuer_support_is_told_as_it_is(kind: str) -> None:
    """The issuer types that cannot sign are those that schema and page name."""
    described = {
        name
        for name, schema in SPECS[kind]["properties"].items()
        if re.search("not (supported|served)", schema["description"])
    }
    told = {field for field, text in rows(kind).items() if text == "refused"}
    assert described == told == {"vault", "venafi"}
