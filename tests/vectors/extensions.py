"""Vectors: extensions, usages, CA flags, name constraints."""

from tests.vectors import craft
from tests.vectors.corpus import accepted, refused, with_extensions
from tests.vectors.craft import BAR, BC, EKU, FALSE, FOO, KU, NC, SAN, TRUE


def add_extensions() -> None:
    own = craft.san(craft.uri(FOO))
    accepted("unknown-extension", with_extensions(own, craft.extension("1.2.3.4", b"\x05\x00", TRUE)))
    accepted("san-not-critical", with_extensions(craft.san(craft.uri(FOO), critical=b"")), san_critical=False)
    refused(
        "san-twice", with_extensions(own, craft.san(craft.uri(BAR))), "extensions", "extension 2.5.29.17 appears twice"
    )
    unknown = craft.extension("1.2.3.4", b"")
    refused(
        "unknown-extension-twice", with_extensions(unknown, unknown), "extensions", "extension 1.2.3.4 appears twice"
    )
    refused(
        "critical-spelt-false",
        with_extensions(craft.san(craft.uri(FOO), critical=FALSE)),
        "extensions",
        "an extension that spells out that it is not critical",
    )
    refused(
        "critical-ber-true",
        with_extensions(craft.san(craft.uri(FOO), critical=b"\x01\x01\x01")),
        "extensions",
        "a BOOLEAN that is neither 0x00 nor 0xff",
    )
    form = "an extension that is not identifier, criticality and value"
    refused(
        "extension-value-not-octets",
        with_extensions(craft.seq(craft.oid(SAN), craft.tlv(0x03, b"\x00"))),
        "extensions",
        form,
    )
    refused(
        "extension-trailing",
        with_extensions(craft.seq(craft.oid(SAN), craft.tlv(0x04, craft.seq(craft.uri(FOO))), b"\x05\x00")),
        "extensions",
        form,
    )
    refused("extension-without-value", with_extensions(craft.seq(craft.oid(SAN))), "extensions", "truncated")
    refused(
        "extension-broken-oid",
        with_extensions(craft.seq(b"\x06\x02\x80\x01", b"\x04\x00"), craft.seq(b"\x06\x02\x80\x01", b"\x04\x00")),
        "extensions",
        "an OBJECT IDENTIFIER with a padded arc",
    )
    add_usages()


def add_usages() -> None:
    place = "extensions.keyUsage"
    own = craft.san(craft.uri(FOO))

    def ku(content: bytes) -> bytes:
        return with_extensions(own, craft.extension(KU, content, TRUE))

    def eku(content: bytes) -> bytes:
        return with_extensions(own, craft.extension(EKU, content))

    accepted("key-usage", ku(craft.bits(b"\xa0", 5)), key_usages=["digital signature", "key encipherment"])
    accepted(
        "key-usage-trailing-zeros", ku(craft.bits(b"\xa0", 0)), key_usages=["digital signature", "key encipherment"]
    )
    accepted("key-usage-decipher-only", ku(craft.bits(b"\x08\x80", 7)), key_usages=["key agreement", "decipher only"])
    accepted("key-usage-none", ku(craft.bits(b"")), key_usages=[])
    refused("key-usage-bit-9", ku(craft.bits(b"\x80\x40", 6)), place, "a KeyUsage with bits that have no meaning")
    refused("key-usage-three-bytes", ku(craft.bits(bytes(3))), place, "a KeyUsage with bits that have no meaning")
    unused = "a BIT STRING with broken unused bits"
    refused("key-usage-unused-set", ku(craft.bits(b"\xa1", 5)), place, unused)
    refused("key-usage-unused-byte", ku(craft.bits(b"\xa0\x00", 8)), place, unused)
    refused("key-usage-unused-8", ku(craft.bits(b"\xa0", 8)), place, unused)
    refused("key-usage-unused-of-nothing", ku(craft.bits(b"", 1)), place, unused)
    refused("key-usage-no-content", ku(b"\x03\x00"), place, "a BIT STRING without content")
    refused("key-usage-trailing", ku(craft.bits(b"\xa0", 5) + b"\x05\x00"), place, "trailing data")
    refused("key-usage-not-bits", ku(b"\x04\x02\x05\xa0"), place, "tag 0x04 where 0x03 is expected")
    place = "extensions.extendedKeyUsage"
    server, client = craft.oid("1.3.6.1.5.5.7.3.1"), craft.oid("1.3.6.1.5.5.7.3.2")
    accepted("extended-key-usage", eku(craft.seq(server, client)), extended_key_usages=["server auth", "client auth"])
    accepted(
        "extended-key-usage-unknown",
        eku(craft.seq(client, craft.oid("1.3.6.1.4.1.99999.7"), server)),
        extended_key_usages=["client auth", "server auth"],
        unknown_extended_key_usages=["1.3.6.1.4.1.99999.7"],
    )
    many = [craft.oid(f"1.2.3.{n}") for n in range(65)]
    accepted(
        "extended-key-usages-64",
        eku(craft.seq(*many[:64])),
        extended_key_usages=[],
        unknown_extended_key_usages=[f"1.2.3.{n}" for n in range(64)],
    )
    refused("extended-key-usages-65", eku(craft.seq(*many)), place, "more than 64 extended key usages")
    long = craft.tlv(0x06, b"\x2a" + b"\x01" * 64)
    refused("extended-key-usage-long", eku(craft.seq(long)), place, "an OBJECT IDENTIFIER of more than 64 bytes")
    refused("extended-key-usage-empty", eku(craft.seq()), place, "an empty list of extended key usages")
    refused("extended-key-usage-trailing", eku(craft.seq(server) + b"\x00\x00"), place, "trailing data")
    refused("extended-key-usage-not-oid", eku(craft.seq(craft.integer(1))), place, "tag 0x02 where 0x06 is expected")
    refused("extended-key-usage-broken-oid", eku(craft.seq(b"\x06\x00")), place, "a broken OBJECT IDENTIFIER")
    refused(
        "extended-key-usage-huge-arc",
        eku(craft.seq(b"\x06\x06\x2a\x88\x80\x80\x80\x00")),
        place,
        "an OBJECT IDENTIFIER with an arc above 2^31",
    )

    place = "extensions.basicConstraints"

    def bc(*parts: bytes) -> bytes:
        return with_extensions(own, craft.extension(BC, craft.seq(*parts), TRUE))

    accepted("ca-true", bc(TRUE), is_ca=True)
    accepted("ca-path-length", bc(TRUE, craft.integer(3)), is_ca=True, path_length=3)
    accepted("ca-false", bc(), is_ca=False)
    refused("ca-spelt-false", bc(FALSE), place, "BasicConstraints that spell out the default")
    refused("ca-ber-true", bc(b"\x01\x01\x01"), place, "a BOOLEAN that is neither 0x00 nor 0xff")
    refused("ca-path-length-without-ca", bc(craft.integer(3)), place, "tag 0x02 where 0x01 is expected")
    refused("ca-path-length-negative", bc(TRUE, craft.integer(-1)), place, "a negative INTEGER")
    refused("ca-path-length-padded", bc(TRUE, b"\x02\x02\x00\x01"), place, "an INTEGER that is longer than needed")
    refused("ca-path-length-empty", bc(TRUE, b"\x02\x00"), place, "an empty INTEGER")
    refused("ca-trailing", bc(TRUE, craft.integer(3), b"\x05\x00"), place, "trailing data")
    refused(
        "ca-not-a-sequence", with_extensions(own, craft.extension(BC, TRUE)), place, "tag 0x01 where 0x30 is expected"
    )
    add_name_constraints(own)


def add_name_constraints(own: bytes) -> None:
    place = "extensions.nameConstraints"

    def nc(*parts: bytes, critical: bytes = TRUE) -> bytes:
        return with_extensions(own, craft.extension(NC, craft.seq(*parts), critical))

    def permitted(*names: bytes) -> bytes:
        return craft.tlv(0xA0, *[craft.seq(name) for name in names])

    def excluded(*names: bytes) -> bytes:
        return craft.tlv(0xA1, *[craft.seq(name) for name in names])

    network = craft.ip(bytes([10, 1, 2, 3, 255, 255, 0, 0]))
    masked = craft.ip(bytes([10, 1, 0, 0, 255, 255, 0, 0]))
    mixed = [craft.uri("example"), craft.email("a@b.example"), network, craft.dns("b.example"), craft.dns(".a.example")]
    normal = [craft.dns("b.example"), craft.dns(".a.example"), masked, craft.email("a@b.example"), craft.uri("example")]
    accepted(
        "name-constraints",
        nc(permitted(*mixed), excluded(craft.dns("c.example"))),
        name_constraints_der=craft.seq(permitted(*normal), excluded(craft.dns("c.example"))).hex(),
        name_constraints_critical=True,
    )
    only_excluded = craft.seq(excluded(craft.ip(bytes(32)), craft.email(".a.example")))
    accepted(
        "name-constraints-excluded",
        nc(excluded(craft.ip(bytes(32)), craft.email(".a.example")), critical=b""),
        name_constraints_der=only_excluded.hex(),
        name_constraints_critical=False,
    )
    refused("name-constraints-empty", nc(), place, "empty name constraints")
    refused("name-constraints-empty-list", nc(permitted()), place, "an empty list of name constraints")
    refused(
        "name-constraints-order",
        nc(excluded(craft.dns("a")), permitted(craft.dns("a"))),
        place,
        "trailing data in name constraints",
    )
    refused(
        "name-constraints-twice",
        nc(permitted(craft.dns("a")), permitted(craft.dns("b"))),
        place,
        "trailing data in name constraints",
    )
    minimum = craft.tlv(0xA0, craft.seq(craft.dns("a"), craft.tlv(0x80, b"\x00")))
    refused("name-constraints-minimum", nc(minimum), place, "a name constraint with minimum or maximum")
    directory = craft.tlv(0xA4, craft.seq())
    refused(
        "name-constraints-directory",
        nc(permitted(directory)),
        place,
        "a name constraint of kind 0xa4, which is not supported",
    )
    for size in (4, 7, 9, 16, 31):
        refused(
            f"name-constraints-ip-{size}",
            nc(permitted(craft.ip(bytes(size)))),
            place,
            f"an IP constraint of {size} bytes",
        )
    refused(
        "name-constraints-mask",
        nc(permitted(craft.ip(bytes([10, 0, 0, 0, 255, 0, 255, 0])))),
        place,
        "an IP constraint with a broken mask",
    )
    for name, content in {
        "dot-at-end": b"a.",
        "empty-label": b"a..b",
        "two-dots-first": b"..a",
        "nul": b"a\x00b",
        "space": b"a b",
        "idn": "b\u00fc".encode(),
    }.items():
        refused(
            f"name-constraints-dns-{name}",
            nc(permitted(craft.dns(content))),
            place,
            "a name constraint that is not a domain",
        )
    refused(
        "name-constraints-mailbox",
        nc(permitted(craft.email("a b@c"))),
        place,
        "an email constraint that is not a mailbox",
    )
    refused(
        "name-constraints-uri-address",
        nc(permitted(craft.uri("10.0.0.1"))),
        place,
        "a URI constraint that is an IP address",
    )
