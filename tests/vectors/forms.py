"""Vectors: PEM, the outer DER, attributes."""

import base64

from tests.vectors import craft
from tests.vectors.corpus import accepted, refused
from tests.vectors.craft import BAR, FOO, MICROSOFT, Csr

BEGIN = b"-----BEGIN CERTIFICATE REQUEST-----"
END = b"-----END CERTIFICATE REQUEST-----"


def add_pem_forms() -> None:
    good = Csr().pem()
    evil = Csr(attributes=[craft.ext_request(craft.san(craft.uri(BAR)))]).pem()
    accepted("pilot-agent", good)
    accepted("ztunnel", Csr(subject=craft.seq()).pem(), subject="")
    accepted("pem-crlf", good.replace(b"\n", b"\r\n"))
    body = base64.b64encode(Csr().der())
    accepted("pem-one-line", BEGIN + b"\n" + body + b"\n" + END + b"\n")
    accepted("pem-no-last-newline", good.rstrip())
    accepted("pem-white-space-after", good + b" \t\r\n\n\n")
    before = "data before the PEM block: BEGIN CERTIFICATE REQUEST must be the first thing"
    refused("pem-junk-joined-to-begin", b"x" + evil + good, "", before)
    refused("pem-space-before-begin", b" " + evil + good, "", before)
    refused("pem-newline-before-begin", b"\n" + good, "", before)
    refused("pem-comment-before-begin", b"Certificate Request:\n" + good, "", before)
    refused("pem-byte-order-mark", b"\xef\xbb\xbf" + good, "", before)
    refused("pem-two-blocks", good + evil, "", "two PEM blocks, one is expected")
    refused("pem-two-blocks-same", good + good, "", "two PEM blocks, one is expected")
    refused("pem-second-begin-in-block", BEGIN + b"\n" + good, "", "the PEM block has no matching END line")
    refused("pem-trailing-data", good + b"more\n", "", "data after the PEM block")
    refused("pem-nul-after", good + b"\x00", "", "data after the PEM block")
    refused(
        "pem-new-certificate-request",
        good.replace(b"CERTIFICATE REQ", b"NEW CERTIFICATE REQ"),
        "",
        "the PEM block is not a CERTIFICATE REQUEST",
    )
    refused("pem-certificate", craft.pem(Csr().der(), "CERTIFICATE"), "", "the PEM block is not a CERTIFICATE REQUEST")
    refused("pem-lower-case-label", good.replace(b"CERT", b"cert"), "", "the PEM block is not a CERTIFICATE REQUEST")
    refused("pem-end-differs", good.replace(b"-----END C", b"-----END D"), "", "the PEM block has no matching END line")
    refused("pem-no-end", good[: good.index(b"-----END")], "", "the PEM block has no matching END line")
    refused("pem-cr-line-ends", good.replace(b"\n", b"\r"), "", "the PEM block has empty or unfinished lines")
    lines = "the PEM block has empty or unfinished lines"
    refused("pem-begin-not-a-line", good.replace(b"-----\n", b"----- \n", 1), "", lines)
    refused("pem-end-not-a-line", good.replace(b"\n-----END", b"-----END"), "", lines)
    refused("pem-blank-line", good.replace(b"-----\n", b"-----\n\n", 1), "", lines)
    refused("pem-headers", good.replace(b"-----\n", b"-----\nX: y\n", 1), "", "PEM headers are not accepted")
    refused(
        "pem-cr-in-base64",
        good.replace(body[20:30], body[20:25] + b"\r" + body[25:30]),
        "",
        "the PEM block is not canonical base64",
    )
    refused(
        "pem-space-in-base64",
        good.replace(body[20:30], body[20:25] + b" " + body[25:30]),
        "",
        "the PEM block is not canonical base64",
    )
    refused("pem-not-base64", BEGIN + b"\nm*sh\n" + END, "", "the PEM block is not canonical base64")
    refused(
        "pem-no-padding",
        BEGIN + b"\n" + base64.b64encode(b"1234").rstrip(b"=") + b"\n" + END,
        "",
        "the PEM block is not canonical base64",
    )
    refused("pem-excess-padding", BEGIN + b"\nMTIz=\n" + END, "", "the PEM block is not canonical base64")
    refused("pem-stray-bits", BEGIN + b"\nMB==\n" + END, "", "the PEM block is not canonical base64")
    refused("pem-empty-block", BEGIN + b"\n" + END, "", "the PEM block is empty")
    refused("empty", b"", "", "it is empty")
    refused("no-pem", b"hello", "", "there is no PEM block CERTIFICATE REQUEST")
    refused(
        "der-instead-of-pem",
        Csr().der(),
        "",
        "there is no PEM block CERTIFICATE REQUEST: it is DER: write it as PEM (openssl x509 -inform DER, or openssl pkey "
        "-inform DER for a key)",
    )
    refused("too-large", good + b" " * 65536, "", f"{len(good) + 65536} bytes; at most 65536 are accepted")


def add_outer_forms() -> None:
    good = Csr().der()
    refused("der-trailing-byte", craft.pem(good + b"\x00"), "", "trailing data")
    refused("der-truncated", craft.pem(good[:-1]), "", "truncated")
    refused("der-not-a-sequence", craft.pem(b"\x31" + good[1:]), "", "tag 0x31 where 0x30 is expected")
    refused(
        "der-indefinite-length",
        craft.pem(b"\x30\x80" + good[4:] + b"\x00\x00"),
        "",
        "a length that is indefinite or too long",
    )
    refused("der-long-length", craft.pem(b"\x30\x83\x00" + good[2:]), "", "a length that is longer than needed")
    refused(
        "der-huge-length",
        craft.pem(b"\x30\x84\xff\xff\xff\xff" + good[4:]),
        "",
        "a length that is indefinite or too long",
    )
    refused("der-long-tag", craft.pem(b"\x3f\x10\x00"), "", "a tag of more than one byte")
    refused("der-one-byte", craft.pem(b"\x30"), "", "truncated")
    refused("der-after-signature", Csr(trailing=b"\x05\x00").pem(), "signature", "trailing data")
    refused("der-after-attributes", Csr(after=b"\x05\x00").pem(), "attributes", "trailing data")
    for name, version in {
        "1": "020101",
        "2": "020102",
        "negative": "0201ff",
        "two-bytes": "02020000",
        "missing": "",
    }.items():
        refused(f"version-{name}", Csr(version=bytes.fromhex(version)).pem(), "version", "it must be 0")


def add_attributes() -> None:
    own, other = craft.san(craft.uri(FOO)), craft.san(craft.uri(BAR))
    pkcs9, microsoft = craft.ext_request(own), craft.ext_request(other, kind=MICROSOFT)
    message = "Microsoft's attribute for extensions is not accepted, only extensionRequest of PKCS#9"
    refused("microsoft-before-pkcs9", Csr(attributes=[microsoft, pkcs9]).pem(), "attributes", message)
    refused("microsoft-after-pkcs9", Csr(attributes=[pkcs9, microsoft]).pem(), "attributes", message)
    refused("microsoft-alone", Csr(attributes=[microsoft]).pem(), "attributes", message)
    refused(
        "two-pkcs9",
        Csr(attributes=[pkcs9, craft.ext_request(other)]).pem(),
        "attributes",
        "two extensionRequest attributes",
    )
    refused(
        "two-pkcs9-one-empty",
        Csr(attributes=[craft.ext_request(), pkcs9]).pem(),
        "attributes",
        "two extensionRequest attributes",
    )
    two = craft.attribute(craft.PKCS9, craft.seq(own), craft.seq(other))
    refused("pkcs9-two-values", Csr(attributes=[two]).pem(), "extensions", "an extensionRequest with two values")
    refused("pkcs9-no-value", Csr(attributes=[craft.attribute(craft.PKCS9)]).pem(), "extensions", "truncated")
    refused(
        "pkcs9-value-is-a-set",
        Csr(attributes=[craft.attribute(craft.PKCS9, craft.tlv(0x31, own))]).pem(),
        "extensions",
        "tag 0x31 where 0x30 is expected",
    )
    trailing = craft.seq(craft.oid(craft.PKCS9), craft.tlv(0x31, craft.seq(own)), b"\x05\x00")
    refused("attribute-trailing", Csr(attributes=[trailing]).pem(), "attributes", "trailing data")
    broken = craft.seq(b"\x06\x01\x80", craft.tlv(0x31))
    refused("attribute-broken-oid", Csr(attributes=[broken]).pem(), "attributes", "a broken OBJECT IDENTIFIER")
    refused("attributes-missing", Csr(raw_attributes=b"").pem(), "attributes", "truncated")
    refused(
        "attributes-universal-set",
        Csr(raw_attributes=craft.tlv(0x31, pkcs9)).pem(),
        "attributes",
        "tag 0x31 where 0xa0 is expected",
    )
    refused("attributes-twice", Csr(raw_attributes=craft.tlv(0xA0, pkcs9) * 2).pem(), "attributes", "trailing data")
    refused(
        "attribute-broken-inside",
        Csr(attributes=[craft.attribute("1.2.840.113549.1.9.7", b"\x30\x02\x05\x01")]).pem(),
        "attributes",
        "truncated",
    )
    deep = b""
    for _ in range(40):
        deep = craft.seq(deep)
    refused(
        "attribute-nested-deeply",
        Csr(attributes=[craft.attribute("1.2.3", deep)]).pem(),
        "attributes",
        "nested too deeply",
    )
    challenge = craft.attribute("1.2.840.113549.1.9.7", craft.utf8("password"))
    windows = craft.attribute("1.3.6.1.4.1.311.13.2.3", craft.tlv(0x16, b"10.0.20348.2"))
    accepted("other-attributes", Csr(attributes=[challenge, pkcs9, windows]).pem())
    accepted("no-attributes", Csr(attributes=[]).pem(), uris=[])
    accepted("no-extensions", Csr(attributes=[craft.ext_request()]).pem(), uris=[])
