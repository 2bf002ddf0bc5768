"""What a Certificate may ask for: the sample may, each spoilt one is refused with its field."""

from typing import Any

import pytest

from signer.certificates.spec.check import spec_defect
from tests.unit.certificates import samples


def test_the_sample_may() -> None:
    """The sample, and a CA with everything that only CAs have, are in order."""
    assert spec_defect(samples.certificate()) is None
    constraints = {"critical": True, "permitted": {"dnsDomains": ["example"], "ipRanges": ["10.0.0.0/8"]}}
    assert spec_defect(samples.certificate(isCA=True, nameConstraints=constraints)) is None


NAMES = ("commonName", "subject", "dnsNames", "ipAddresses", "uris", "emailAddresses", "otherNames")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"dnsNames": ["http://l.shop/"]},
            "spec.dnsNames[0]: 'http://l.shop/' is a URL or has a port, and no host is called so: is 'l.shop' meant?",
        ),
        ({"dnsNames": ["a.shop", "l.shop:443"]}, "spec.dnsNames[1]: 'l.shop:443' is a URL or has a port"),
        ({"dnsNames": ["l.shop/x"]}, "spec.dnsNames[0]"),
        ({"secretName": None}, "spec.secretName"),
        ({"secretName": "Upper"}, "spec.secretName"),
        ({"secretName": "a/../b"}, "spec.secretName"),
        ({"secretName": "a" * 254}, "spec.secretName"),
        ({"issuerRef": {"kind": "ClusterIssuer"}}, "spec.issuerRef.name"),
        ({"issuerRef": {"name": "x", "kind": "Thing"}}, "spec.issuerRef.kind"),
        (dict.fromkeys(NAMES), "at least one of"),
        ({"commonName": "x" * 65}, "spec.commonName"),
        ({"dnsNames": ["ok", ""]}, "spec.dnsNames[1]"),
        ({"dnsNames": ["bücher.example"]}, "spec.dnsNames[0]"),
        ({"dnsNames": ["a b"]}, "spec.dnsNames[0]"),
        ({"dnsNames": ["a\x00b"]}, "spec.dnsNames[0]"),
        ({"ipAddresses": ["10.0.0.256"]}, "spec.ipAddresses[0]"),
        ({"ipAddresses": ["fe80::1%eth0"]}, "spec.ipAddresses[0]"),
        ({"uris": ["no uri"]}, "spec.uris[0]"),
        ({"uris": ["relative/path"]}, "spec.uris[0]"),
        ({"emailAddresses": ["A <a@b.example>"]}, "spec.emailAddresses[0]"),
        ({"emailAddresses": ["nobody"]}, "spec.emailAddresses[0]"),
        ({"otherNames": [{"oid": "1.x", "utf8Value": "a"}]}, "spec.otherNames[0].oid"),
        ({"otherNames": [{"oid": "1.2.3", "utf8Value": ""}]}, "spec.otherNames[0].utf8Value"),
        ({"privateKey": {"algorithm": "DSA"}}, "spec.privateKey.algorithm"),
        ({"privateKey": {"algorithm": "RSA", "size": 1024}}, "spec.privateKey.size"),
        ({"privateKey": {"size": 16384}}, "spec.privateKey.size"),
        ({"privateKey": {"algorithm": "ECDSA", "size": 255}}, "spec.privateKey.size"),
        ({"privateKey": {"encoding": "DER"}}, "spec.privateKey.encoding"),
        ({"privateKey": {"rotationPolicy": "Sometimes"}}, "spec.privateKey.rotationPolicy"),
        ({"signatureAlgorithm": "SHA256WithRSA"}, "spec.signatureAlgorithm"),
        ({"usages": ["digital signature", "flying"]}, "spec.usages[1]"),
        ({"duration": "59m59s"}, "spec.duration"),
        ({"duration": "-90m"}, "spec.duration"),
        ({"duration": "1 day"}, "spec.duration"),
        ({"renewBefore": "soon"}, "spec.renewBefore"),
        ({"renewBefore": "4m59s"}, "spec.renewBefore"),
        ({"renewBefore": "2160h"}, "spec.renewBefore"),
        ({"renewBefore": "1h", "renewBeforePercentage": 10}, "only one of the two"),
        ({"renewBeforePercentage": 0}, "spec.renewBeforePercentage"),
        ({"renewBeforePercentage": 100}, "spec.renewBeforePercentage"),
        ({"duration": "1h", "renewBeforePercentage": 8}, "spec.renewBeforePercentage"),
        ({"revisionHistoryLimit": 0}, "spec.revisionHistoryLimit"),
        ({"secretTemplate": {"labels": {"cert-manager.io/x": "y"}}}, "spec.secretTemplate.labels[cert-manager.io/x]"),
        (
            {"secretTemplate": {"annotations": {"controller.cert-manager.io/fao": "y"}}},
            "spec.secretTemplate.annotations",
        ),
        ({"secretTemplate": {"labels": {"a b": "c"}}}, "spec.secretTemplate.labels: 'a b'"),
        ({"secretTemplate": {"labels": {"x/y/z": "c"}}}, "spec.secretTemplate.labels: 'x/y/z'"),
        ({"secretTemplate": {"labels": {"/a": "c"}}}, "spec.secretTemplate.labels: '/a'"),
        ({"secretTemplate": {"annotations": {"a" * 64: "c"}}}, "spec.secretTemplate.annotations"),
        ({"secretTemplate": {"annotations": {"a/": "c"}}}, "spec.secretTemplate.annotations"),
        ({"secretTemplate": {"labels": {"a": "b c"}}}, "spec.secretTemplate.labels[a]"),
        ({"secretTemplate": {"labels": {"a": "b" * 64}}}, "spec.secretTemplate.labels[a]"),
        ({"nameConstraints": {"permitted": {"dnsDomains": ["a"]}}}, "only a CA"),
        ({"isCA": True, "nameConstraints": {"critical": True}}, "permitted or excluded"),
        (
            {"isCA": True, "nameConstraints": {"excluded": {"ipRanges": ["10/x"]}}},
            "spec.nameConstraints.excluded.ipRanges[0]",
        ),
    ],
)
def test_refused(spec: dict[str, Any], said: str) -> None:
    """Whatever the webhook of cert-manager refuses is refused, and the message names the field."""
    found = spec_defect(samples.certificate(**spec))
    assert found is not None
    assert found.reason == "InvalidSpec"
    assert said in found.message


@pytest.mark.parametrize(
    "spec",
    [
        {"duration": "1h", "renewBefore": "5m"},
        {"renewBeforePercentage": 99},
        {"privateKey": {"algorithm": "RSA", "size": 8192}},
        {"privateKey": {"algorithm": "RSA", "size": 2048}, "signatureAlgorithm": "SHA512WithRSA"},
        {"privateKey": {"algorithm": "Ed25519"}, "signatureAlgorithm": "PureEd25519"},
        {"signatureAlgorithm": "ECDSAWithSHA384"},
        {"commonName": "x" * 64},
        {"dnsNames": ["*.wild.example"]},
        {"issuerRef": {"name": "x", "kind": "Thing", "group": "example.com"}},
        {"secretTemplate": {"annotations": {"cert-manager.io/allow-direct-injection": "true"}}},
        {"secretTemplate": {"labels": {"a.b/C_d": "", "x": "E-f.g"}, "annotations": {"note": "any text, of any kind"}}},
        {"keystores": {}, "additionalOutputFormats": [], "literalSubject": ""},
        {"keystores": {"jks": {"create": False}, "pkcs12": {"create": False}}},
        {"keystores": {"jks": {"create": True, "alias": "a", "password": "p"}}},
        {"keystores": {"pkcs12": {"create": True, "passwordSecretRef": {"name": "p", "key": "k"}}}},
        {"additionalOutputFormats": [{"type": "CombinedPEM"}, {"type": "DER"}]},
        {"literalSubject": "CN=x,OU=a+OU=b,1.2.3=c", "commonName": None, "subject": None},
        {"literalSubject": "O=no common name", "commonName": None, "subject": {}},
    ],
)
def test_accepted(spec: dict[str, Any]) -> None:
    """What lies just within the limits is accepted, and empty values of unsupported fields ask for nothing."""
    assert spec_defect(samples.certificate(**spec)) is None


_REF = {"name": "p", "key": "k"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"literalSubject": "CN=x"}, "spec.literalSubject, spec.commonName: only one"),
        ({"literalSubject": "CN=x", "commonName": None}, "spec.literalSubject, spec.subject: only one"),
        ({"literalSubject": "XX=x"}, "spec.literalSubject: 'XX' is not a type that is known: C, O, OU, CN"),
        ({"literalSubject": "cn=x"}, "spec.literalSubject: 'cn' is not a type"),
        ({"literalSubject": "CN"}, "spec.literalSubject: it ends with 'CN'"),
        ({"literalSubject": "CN=a\\"}, "spec.literalSubject: '\\\\': a backslash stands before"),
        ({"literalSubject": "CN=" + "a" * 65}, "spec.literalSubject: CN has 65 characters"),
        ({"literalSubject": "CN=" + "a" * 20000}, "spec.literalSubject: more than 16384 bytes"),
        ({"additionalOutputFormats": [{"type": "PEM"}]}, "'PEM' is neither DER nor CombinedPEM"),
        ({"additionalOutputFormats": [{"type": "DER"}] * 2}, "[1].type: DER appears twice"),
        ({"keystores": {"jks": {"create": True}}}, "spec.keystores.jks: passwordSecretRef"),
        ({"keystores": {"pkcs12": {"create": True, "password": ""}}}, "spec.keystores.pkcs12: passwordSecretRef"),
        ({"keystores": {"jks": {"create": True, "password": "p", "passwordSecretRef": _REF}}}, "only one of the two"),
        (
            {"keystores": {"jks": {"create": True, "passwordSecretRef": {"name": "p"}}}},
            "passwordSecretRef.key: must be",
        ),
        ({"keystores": {"jks": {"create": True, "password": "p" * 2000}}}, "a password of 2000 bytes; at most 1024"),
        ({"keystores": {"jks": {"create": True, "password": "p", "alias": "a" * 300}}}, "alias: more than 256 bytes"),
        (
            {"keystores": {"pkcs12": {"create": False, "profile": "x"}}},
            "'x' is none of LegacyRC2, LegacyDES, Modern2023",
        ),
    ],
)
def test_further_forms_and_literal_subject(spec: dict[str, Any], said: str) -> None:
    """What is wrong with a literal subject, a format or a keystore is told with its field, and never a password."""
    found = spec_defect(samples.certificate(**spec))
    assert found is not None
    assert found.reason == "InvalidSpec"
    assert said in found.message
    assert "pppp" not in found.message


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"keystores": {"bcfks": {"create": True}}}, "spec.keystores.bcfks"),
        ({"keystores": {"jks": {"create": True, "password": "a", "storeType": "x"}}}, "spec.keystores.jks.storeType"),
        ({"additionalOutputFormats": [{"type": "DER", "name": "k"}]}, "spec.additionalOutputFormats[0].name"),
        ({"privateKey": {"algorithm": "ECDSA", "hardware": "yes"}}, "spec.privateKey.hardware"),
        ({"otherNames": [{"oid": "1.2.3", "utf8Value": "a", "other": 1}]}, "spec.otherNames[0].other"),
    ],
)
def test_unsupported(spec: dict[str, Any], said: str) -> None:
    """A field that we do not know is named, wherever it stands: nothing is silently ignored."""
    found = spec_defect(samples.certificate(**spec))
    assert found is not None
    assert found.reason == "UnsupportedField"
    assert said in found.message


def test_everything_at_once() -> None:
    """All that is wrong is told in one message."""
    found = spec_defect(samples.certificate(secretName=None, duration="1m", usages=["flying"]))
    assert found is not None
    assert all(part in found.message for part in ("spec.secretName", "spec.duration", "spec.usages[0]"))


def test_wrong_type() -> None:
    """A value of the wrong type is a defect of this one object, named with its field."""
    found = spec_defect(samples.certificate(dnsNames=[1]))
    assert found is not None
    assert "spec.dnsNames" in found.message


@pytest.mark.parametrize(
    "spec",
    [
        {"dnsNames": [""] * 5000},
        {"usages": ["\u00fc" * 100_000]},
        {"privateKey": {"algorithm": "x" * 100_000}},
    ],
)
def test_message_is_bounded(spec: dict[str, Any]) -> None:
    """However much is wrong, the message is about 1 KiB at most and says where it was cut."""
    found = spec_defect(samples.certificate(**spec))
    assert found is not None
    assert len(found.message.encode()) <= 1024 + 80
    assert found.message.endswith(" ... and more")


@pytest.mark.parametrize(
    "name", ["g\N{LATIN SMALL LETTER O WITH DIAERESIS}tz.it", "\N{CJK UNIFIED IDEOGRAPH-4F8B}.example"]
)
def test_a_name_in_its_own_script(name: str) -> None:
    """What is to be written instead is said, as of a Gateway's host."""
    found = spec_defect(samples.certificate(dnsNames=[name]))
    assert found is not None
    assert found.message.endswith("is not a valid DNS name; write it in its xn-- form")


def test_message_cut() -> None:
    """A cut message begins with the first defects and says that there are more; a short one is whole."""
    found = spec_defect(samples.certificate(dnsNames=[""] * 5000))
    assert found is not None
    assert found.message.startswith("spec.dnsNames[0]: '' is not a valid DNS name; spec.dnsNames[1]: ")
    assert found.message.endswith(" ... and more")
    short = spec_defect(samples.certificate(dnsNames=[""] * 3))
    assert short is not None
    assert short.message.endswith("spec.dnsNames[2]: '' is not a valid DNS name")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"uris": ["urn:a", "spiffe://[::1]/a"]}, "spec.uris[1]: URI 'spiffe://[::1]/a' is not an absolute URI"),
        ({"uris": ["https://a/%zz"]}, "spec.uris[0]"),
        ({"commonName": "a\tb"}, "spec.commonName: "),
        ({"subject": {"organizations": ["a", "b\x7f"]}}, "spec.subject.organizations[1]: "),
        ({"subject": {"organizations": ["", ""]}}, "spec.subject.organizations: a text appears twice"),
        ({"subject": {"streetAddresses": ["one\nstreet"]}}, "spec.subject.streetAddresses[0]: "),
        ({"subject": {"serialNumber": "\x00"}}, "spec.subject.serialNumber: "),
        ({"subject": {"countries": ["\ud800"]}}, "spec.subject.countries[0]: '\\ud800' is not text"),
        ({"emailAddresses": ["ü@a.example"]}, "spec.emailAddresses[0]: 'ü@a.example' is not a valid e-mail address"),
        ({"emailAddresses": ["\x01@a.example"]}, "spec.emailAddresses[0]"),
        ({"otherNames": [{"oid": "1.99", "utf8Value": "a"}]}, "spec.otherNames[0]: '1.99' is not an object identifier"),
        ({"otherNames": [{"oid": "1.2.4294967296", "utf8Value": "a"}]}, "spec.otherNames[0]"),
        ({"otherNames": [{"oid": "1.2." + "9" * 5000, "utf8Value": "a"}]}, "spec.otherNames[0]"),
        ({"otherNames": [{"oid": "1.2" + ".2147483647" * 20, "utf8Value": "a"}]}, "spec.otherNames[0]"),
        ({"dnsNames": [f"{n}.example" for n in range(1001)]}, "spec.dnsNames: with the other names 1006; at most 1000"),
        ({"dnsNames": [f"{n}" + "x" * 60 for n in range(900)]}, "spec.dnsNames: the request would have"),
        ({"subject": {"localities": ["x" * 60000]}}, "spec.subject.localities: the request would have"),
        ({"usages": ["digital signature"] * 65}, "spec.usages: 65 usages"),
        ({"isCA": True, "usages": ["digital signature"] * 64}, "spec.usages: 65 usages"),
        (
            {"isCA": True, "nameConstraints": {"permitted": {"dnsDomains": ["a", "b..c"]}}},
            "spec.nameConstraints.permitted.dnsDomains[1]: ",
        ),
        (
            {"isCA": True, "nameConstraints": {"excluded": {"uriDomains": ["10.0.0.1"]}}},
            "spec.nameConstraints.excluded.uriDomains[0]: ",
        ),
        (
            {"isCA": True, "nameConstraints": {"excluded": {"emailAddresses": ["a b@c"]}}},
            "spec.nameConstraints.excluded.emailAddresses[0]: ",
        ),
    ],
)
def test_what_our_reader_would_refuse(spec: dict[str, Any], said: str) -> None:
    """A text that the API takes and the reader of requests does not is refused before there is a request, by its field."""
    found = spec_defect(samples.certificate(**spec))
    assert found is not None
    assert found.reason == "InvalidSpec"
    assert said in found.message
    assert found.message.isprintable()


def test_the_name_of_an_unknown_field_can_be_shown() -> None:
    """What a schema that keeps unknown fields lets through is told without its control characters."""
    found = spec_defect(samples.certificate(subject={"local\x1fities": ["a"]}))
    assert found is not None
    assert found.message.startswith("spec.subject.local\N{REPLACEMENT CHARACTER}ities: not supported")
