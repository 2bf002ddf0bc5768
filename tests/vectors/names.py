"""Vectors: subject alternative names and subjects."""

from tests.vectors import craft
from tests.vectors.corpus import accepted, refused, with_extensions
from tests.vectors.craft import BAR, CN, FOO, ORGANIZATION, SAN, UNIT, Csr


def add_names() -> None:
    place = "extensions.subjectAltName"

    def only(*names: bytes) -> bytes:
        return with_extensions(craft.san(*names))

    accepted(
        "every-kind-of-name",
        only(
            craft.dns("a.example"),
            craft.dns("*.b.example"),
            craft.email("a@b.example"),
            craft.ip(bytes([10, 0, 0, 1])),
            craft.ip(bytes(15) + b"\x01"),
            craft.uri(FOO),
        ),
        dns_names=["a.example", "*.b.example"],
        email_addresses=["a@b.example"],
        ip_addresses=["10.0.0.1", "::1"],
    )
    accepted(
        "istiod-dns",
        only(*[craft.dns(f"{host}.istio-system.svc") for host in ("istio-pilot", "istiod", "istiod-remote")]),
        uris=[],
        dns_names=["istio-pilot.istio-system.svc", "istiod.istio-system.svc", "istiod-remote.istio-system.svc"],
    )
    accepted("two-uris", only(craft.uri(FOO), craft.uri(BAR)), uris=[FOO, BAR])
    other_value = craft.seq(craft.oid("1.2.3"), craft.tlv(0xA0, craft.utf8(BAR)))
    accepted("other-name", only(b"\xa0" + other_value[1:], craft.uri(FOO)), other_names=1)
    accepted("spiffe-as-other-name", only(b"\xa0" + other_value[1:]), uris=[], other_names=1)
    accepted("registered-id", only(b"\x88" + craft.oid("1.2.3")[1:]), uris=[], other_names=1)
    directory = craft.seq(craft.rdn((CN, craft.utf8(BAR))))
    accepted("directory-name", only(craft.tlv(0xA4, directory)), uris=[], other_names=1)
    for name, text in {
        "upper-case-scheme": "SPIFFE://cluster.local/ns/foo/sa/default",
        "upper-case-host": "spiffe://CLUSTER.local/ns/foo/sa/default",
        "upper-case-namespace": "spiffe://cluster.local/ns/FOO/sa/default",
        "percent": "spiffe://cluster.local/ns/%66oo/sa/default",
        "user": "spiffe://user@cluster.local/ns/foo/sa/default",
        "port": "spiffe://cluster.local:443/ns/foo/sa/default",
        "query": "spiffe://cluster.local/ns/foo/sa/default?a=b",
        "fragment": "spiffe://cluster.local/ns/foo/sa/default#a",
        "double-slash": "spiffe://cluster.local//ns/foo/sa/default",
        "trailing-slash": "spiffe://cluster.local/ns/foo/sa/default/",
        "dots": "spiffe://cluster.local/ns/bar/../foo/sa/default",
        "no-host": "spiffe:///ns/foo/sa/default",
        "opaque": "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    }.items():
        accepted(f"uri-{name}", only(craft.uri(text)), uris=[text])
    for name, content in {
        "nul": b"spiffe://cluster.local/ns/foo\x00/sa/default",
        "newline": b"spiffe://cluster.local/ns/foo/sa/default\n",
        "space": b"spiffe://cluster.local/ns/foo/sa/a b",
        "unicode": "spiffe://cluster.local/ns/fo\u043e/sa/default".encode(),
        "latin-1": b"spiffe://cluster.local/ns/f\xf6o/sa/default",
        "relative": b"/ns/foo/sa/default",
        "no-scheme": b"//cluster.local/ns/foo",
        "broken-escape": b"spiffe://cluster.local/ns/%6/sa/default",
        "host-escape": b"spiffe://cluster%2elocal/ns/foo/sa/default",
        "host-trailing-dot": b"spiffe://cluster.local./ns/foo/sa/default",
        "host-empty-label": b"spiffe://cluster..local/ns/foo/sa/default",
        "backslash": b"spiffe://cluster.local\\ns/foo",
        "empty": b"",
        "port-name": b"spiffe://cluster.local:http/ns/foo",
    }.items():
        shown = ascii(content.decode("latin-1"))
        refused(f"uri-{name}", only(craft.uri(content)), place, f"URI {shown} is not an absolute URI in plain ASCII")
    for name, content in {
        "nul": b"a.example\x00.b.example",
        "idn": "b\u00fccher.example".encode(),
        "homograph": "\u0430pple.example".encode(),
        "control": b"a\x1fb.example",
        "delete": b"a\x7fb.example",
        "space": b"a b.example",
        "empty": b"",
    }.items():
        shown = ascii(content.decode("latin-1"))
        refused(f"dns-{name}", only(craft.dns(content)), place, f"DNS name {shown} is not visible ASCII")
        refused(f"email-{name}", only(craft.email(content)), place, f"email address {shown} is not visible ASCII")
    accepted("dns-punycode", only(craft.dns("xn--bcher-kva.example")), uris=[], dns_names=["xn--bcher-kva.example"])
    refused("san-empty", only(), place, "an empty list of names")
    for size in (0, 3, 5, 8, 15, 17, 32):
        refused(f"ip-{size}-bytes", only(craft.ip(bytes(size))), place, f"an IP address of {size} bytes")
    kinds = {
        "constructed-uri": 0xA6,
        "constructed-dns": 0xA2,
        "x400": 0xA3,
        "edi-party": 0xA5,
        "ia5-string": 0x16,
        "kind-9": 0x89,
        "application-uri": 0x46,
        "constructed-ip": 0xA7,
    }
    for name, tag in kinds.items():
        content = craft.tlv(0x86, FOO.encode()) if tag in (0xA6, 0xA2) else FOO.encode()
        refused(
            f"name-{name}", only(craft.tlv(tag, content)), place, f"a name of kind 0x{tag:02x}, which is not supported"
        )
    refused("other-name-no-value", only(craft.tlv(0xA0, craft.oid("1.2.3"))), place, "truncated")
    two = craft.tlv(0xA0, craft.oid("1.2.3"), craft.tlv(0xA0, craft.utf8("a"), craft.utf8("b")))
    refused("other-name-two-values", only(two), place, "an otherName with two values")
    refused(
        "other-name-trailing",
        only(craft.tlv(0xA0, craft.oid("1.2.3"), craft.tlv(0xA0, craft.utf8("a")), b"\x05\x00")),
        place,
        "trailing data",
    )
    refused(
        "other-name-broken",
        only(craft.tlv(0xA0, craft.oid("1.2.3"), craft.tlv(0xA0, b"\x30\x01\x05"))),
        place,
        "truncated",
    )
    broken = craft.tlv(0xA0, b"\x06\x01\x80", craft.tlv(0xA0, craft.utf8("a")))
    refused("other-name-broken-oid", only(broken), place, "a broken OBJECT IDENTIFIER")
    refused("registered-id-broken", only(b"\x88\x01\x80"), place, "a broken OBJECT IDENTIFIER")
    refused(
        "directory-name-nul",
        only(craft.tlv(0xA4, craft.seq(craft.rdn((CN, craft.utf8("a\x00b")))))),
        place,
        "an attribute with control characters",
    )
    refused(
        "san-trailing",
        with_extensions(craft.extension(SAN, craft.seq(craft.uri(FOO)) + b"\x05\x00")),
        place,
        "trailing data",
    )
    refused(
        "san-not-a-sequence",
        with_extensions(craft.extension(SAN, craft.uri(FOO))),
        place,
        "tag 0x86 where 0x30 is expected",
    )
    refused("san-truncated", with_extensions(craft.extension(SAN, b"\x30\x05\x86\x08abc")), place, "truncated")
    many = [craft.dns(f"{n % 256:02x}") for n in range(10000)]
    refused("names-10000", only(*many), place, "more than 1000 names")
    refused("names-1001", only(*many[:1001]), place, "more than 1000 names")
    accepted("names-1000", only(*many[:1000]), uris=[], dns_names=[f"{n % 256:02x}" for n in range(1000)])


def add_subjects() -> None:
    def subject(*rdns: bytes) -> bytes:
        return Csr(subject=craft.seq(*rdns)).pem()

    accepted(
        "subject-common-name",
        subject(craft.rdn((ORGANIZATION, craft.utf8("mesh"))), craft.rdn((CN, craft.utf8("a, b+c")))),
        subject="CN=a\\, b\\+c,O=mesh",
    )
    accepted("subject-long-common-name", subject(craft.rdn((CN, craft.utf8("x" * 200)))), subject="CN=" + "x" * 200)
    accepted(
        "subject-two-in-one",
        subject(craft.rdn((ORGANIZATION, craft.printable("a")), (ORGANIZATION, craft.printable("b")))),
        subject="O=a+O=b",
    )
    accepted("subject-unicode", subject(craft.rdn((ORGANIZATION, craft.utf8("M\u00fcller")))), subject="O=M\u00fcller")
    accepted(
        "subject-bmp",
        subject(craft.rdn((ORGANIZATION, craft.tlv(0x1E, "M\u00fcller".encode("utf-16-be"))))),
        subject="O=M\u00fcller",
    )
    accepted("subject-t61", subject(craft.rdn((ORGANIZATION, craft.tlv(0x14, b"M\xfcller")))), subject="O=M\u00fcller")
    accepted(
        "subject-ia5",
        subject(craft.rdn(("0.9.2342.19200300.100.1.25", craft.tlv(0x16, b"example")))),
        subject="DC=example",
    )
    accepted(
        "subject-numeric", subject(craft.rdn(("2.5.4.5", craft.tlv(0x12, b"12 34")))), subject="SERIALNUMBER=12 34"
    )
    accepted("subject-unknown-kind", subject(craft.rdn(("1.2.3.4", craft.printable("x")))), subject="1.2.3.4=x")
    control = "an attribute with control characters"
    refused("subject-nul", subject(craft.rdn((CN, craft.utf8("foo\x00bar")))), "subject", control)
    refused("subject-newline", subject(craft.rdn((CN, craft.utf8("foo\nbar")))), "subject", control)
    refused("subject-c1-control", subject(craft.rdn((CN, craft.utf8("foo\x85bar")))), "subject", control)
    refused("subject-bmp-nul", subject(craft.rdn((CN, craft.tlv(0x1E, b"\x00a\x00\x00")))), "subject", control)
    refused("subject-t61-control", subject(craft.rdn((CN, craft.tlv(0x14, b"a\x9bb")))), "subject", control)
    broken = "an attribute with a broken text"
    refused("subject-broken-utf8", subject(craft.rdn((CN, craft.utf8(b"\xc3\x28")))), "subject", broken)
    refused("subject-overlong-utf8", subject(craft.rdn((CN, craft.utf8(b"\xc0\xaf")))), "subject", broken)
    refused("subject-ia5-latin1", subject(craft.rdn((CN, craft.tlv(0x16, b"\xfc")))), "subject", broken)
    refused("subject-bmp-odd", subject(craft.rdn((CN, craft.tlv(0x1E, b"\x00a\x00")))), "subject", broken)
    refused(
        "subject-bmp-surrogates",
        subject(craft.rdn((CN, craft.tlv(0x1E, "\U0001f600".encode("utf-16-be"))))),
        "subject",
        "a BMPString with reserved characters",
    )
    edges = craft.tlv(0x1E, bytes.fromhex("fffdfdcffdf0"))
    accepted("subject-bmp-edges", subject(craft.rdn((CN, edges))), subject="CN=\ufffd\ufdcf\ufdf0")
    for code in ("fffe", "ffff", "fdef"):
        refused(
            f"subject-bmp-{code}",
            subject(craft.rdn((CN, craft.tlv(0x1E, bytes.fromhex(code))))),
            "subject",
            "a BMPString with reserved characters",
        )
    refused(
        "subject-bmp-reserved",
        subject(craft.rdn((CN, craft.tlv(0x1E, b"\xfd\xd0")))),
        "subject",
        "a BMPString with reserved characters",
    )
    refused(
        "subject-printable-at",
        subject(craft.rdn((CN, craft.printable("a@b")))),
        "subject",
        "a PrintableString with other characters",
    )
    refused(
        "subject-numeric-letters",
        subject(craft.rdn((CN, craft.tlv(0x12, b"12a")))),
        "subject",
        "a NumericString with other characters",
    )
    for name, tag in {"universal-string": 0x1C, "integer": 0x02, "octets": 0x04, "visible-string": 0x1A}.items():
        refused(
            f"subject-{name}",
            subject(craft.rdn((CN, craft.tlv(tag, b"\x00\x00\x00a")))),
            "subject",
            f"an attribute of kind 0x{tag:02x}, which is not text",
        )
    refused("subject-empty-rdn", subject(craft.tlv(0x31)), "subject", "an empty relative distinguished name")
    order = "attributes of a relative distinguished name out of order"
    refused(
        "subject-unsorted",
        subject(craft.rdn((UNIT, craft.printable("a")), (ORGANIZATION, craft.printable("b")))),
        "subject",
        order,
    )
    refused(
        "subject-doubled",
        subject(craft.rdn((ORGANIZATION, craft.printable("a")), (ORGANIZATION, craft.printable("a")))),
        "subject",
        order,
    )
    trailing = craft.tlv(0x31, craft.seq(craft.oid(CN), craft.utf8("a"), b"\x05\x00"))
    refused("subject-attribute-trailing", subject(trailing), "subject", "trailing data in an attribute")
    refused("subject-not-a-set", subject(craft.seq()), "subject", "tag 0x30 where 0x31 is expected")
    refused("subject-missing", Csr(subject=b"").pem(), "subject", "tag 0x30 where 0x31 is expected")
