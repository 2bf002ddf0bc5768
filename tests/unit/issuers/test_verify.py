"""What verifiers would say of a certificate: one finding for each thing that they look at, and who refuses it."""

import itertools
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku
from hypothesis import given
from hypothesis import strategies as st

from issuers.authority import Authority
from issuers.errors import InvalidAuthority
from issuers.line import by_nobody, by_some
from issuers.request import read_request
from issuers.template import CertificateTemplate, template_for, within
from issuers.verify import findings_of, host_problem
from issuers.x509.der import DerError
from issuers.x509.subtrees import LONGEST, read_subtrees
from tests import pki
from tests.pki import CA, DAY
from tests.unit.issuers.cas import NOW, ca, load

SIGN = ("cert sign",)


def wish(usages: tuple[str, ...] = (), *, is_ca: bool = False, days: float = 1, **names: Any) -> CertificateTemplate:
    text = pki.csr(**({"subject": pki.name("a")} | names))
    return template_for(read_request(text), usages=usages, duration=days * DAY, is_ca=is_ca, now=NOW)


def told(made: CA | None, template: CertificateTemplate) -> list[tuple[str, str]]:
    """Level and field of each finding."""
    line = None if made is None else load(made.secret()).line
    return [(finding.level, finding.field) for finding in findings_of(template, line)]


def limits(permitted: list[x509.GeneralName] | None, excluded: list[x509.GeneralName] | None = None) -> dict[str, Any]:
    return {"extra": [(x509.NameConstraints(permitted, excluded), True)]}


@pytest.mark.parametrize("above", [0, 1, 2])
@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_path_lengths(length: int, above: int) -> None:
    """A CA is given out only where each above it allows one more, however far up the limit stands."""
    made = ca("limited", path_length=length)
    for depth in range(above):
        made = made.intermediate(f"sub-{depth}", now=NOW)
    if length < above:
        with pytest.raises(InvalidAuthority, match="allows"):
            load(made.secret())
        return
    assert told(made, wish(SIGN, is_ca=True)) == ([("nobody", "isCA")] if length == above else [])
    assert told(made, wish()) == []


def test_a_tighter_limit_counts_wherever_it_stands() -> None:
    """Of two limits the tighter one counts, not the first that is met."""
    made = ca("root", path_length=1).intermediate("low", now=NOW, path_length=5)
    assert told(made, wish(SIGN, is_ca=True)) == [("nobody", "isCA")]


def test_a_ca_must_be_allowed_to_sign() -> None:
    """A CA with key usages but not cert sign is no CA to anybody; without any it is."""
    for made in (None, ca()):
        assert told(made, wish(("digital signature",), is_ca=True)) == [("nobody", "usages")]
        assert told(made, wish(SIGN, is_ca=True)) == []
        assert told(made, wish(("server auth",), is_ca=True)) == []
        assert told(made, wish(SIGN)) == [("strict", "usages")]


@pytest.mark.parametrize(
    ("constraints", "names", "level"),
    [
        (limits([x509.DNSName("a.example")]), {"dns": ["a.example", "x.a.example"]}, None),
        (limits([x509.DNSName("a.example")]), {"dns": ["ba.example"]}, "nobody"),
        (limits([x509.DNSName(".a.example")]), {"dns": ["a.example"]}, "nobody"),
        (limits(None, [x509.DNSName("a.example")]), {"dns": ["x.A.example"]}, "nobody"),
        (limits(None, [x509.DNSName("a.example")]), {"dns": ["ba.example"]}, None),
        (limits(None, [x509.DNSName("x.a.example")]), {"dns": ["*.a.example"]}, "go"),
        (limits([x509.DNSName("a.example")]), {"subject": pki.name("b.example")}, "openssl"),
        (limits([x509.DNSName("a.example")]), {"subject": pki.name("some text")}, None),
        (limits([x509.UniformResourceIdentifier("local")]), {"uris": [pki.spiffe("foo")]}, "openssl"),
        (limits([x509.UniformResourceIdentifier("a")]), {"uris": ["spiffe://a/b:c"]}, "openssl"),
        (limits([x509.DNSName("a.example")]), {"uris": ["urn:a"]}, "go"),
        (limits([x509.RFC822Name("a.example")]), {"emails": ["x@b.a.example"]}, "openssl"),
        (limits([x509.RFC822Name("x@a.example")]), {"emails": ["x@A.example"]}, None),
        (limits([x509.RFC822Name("x@a.example")]), {"emails": ["X@a.example"]}, "nobody"),
        (limits([x509.DirectoryName(pki.name("a"))]), {"dns": ["b.example"]}, None),
    ],
)
@pytest.mark.parametrize("depth", [0, 2])
def test_names(constraints: dict[str, Any], names: dict[str, Any], level: str | None, depth: int) -> None:
    """Constraints hold for all below the CA that has them, and a name that one of the two refuses is told of."""
    made = ca("root", **constraints)
    for number in range(depth):
        made = made.intermediate(f"sub {number}", now=NOW)
    assert told(made, wish(**names)) == ([] if level is None else [(level, "names")])


@pytest.mark.parametrize(
    ("listed", "usages", "level"),
    [
        ([Eku.SERVER_AUTH], ("server auth",), None),
        ([Eku.SERVER_AUTH], ("client auth",), "nobody"),
        ([Eku.SERVER_AUTH], ("server auth", "client auth"), "part"),
        ([Eku.SERVER_AUTH], (), None),
        ([Eku.SERVER_AUTH], ("any",), None),
        ([Eku.SERVER_AUTH], ("code signing",), "go"),
        ([Eku.ANY_EXTENDED_KEY_USAGE], ("server auth",), "openssl"),
        ([Eku.ANY_EXTENDED_KEY_USAGE, Eku.SERVER_AUTH], ("server auth",), None),
    ],
)
def test_usages(listed: list[x509.ObjectIdentifier], usages: tuple[str, ...], level: str | None) -> None:
    """Usages that a CA does not have are not there below it either, at any depth."""
    made = ca("root", extra=[(x509.ExtendedKeyUsage(listed), False)])
    asked = ("digital signature", *usages) if usages else ()
    for one in (made, made.intermediate("low", now=NOW)):
        assert told(one, wish(asked)) == ([] if level is None else [(level, "usages")])


def test_what_two_refuse_together_nobody_accepts() -> None:
    """A certificate that Go refuses for one thing, and OpenSSL for another, has nobody who accepts it."""
    made = ca("root", **limits([x509.UniformResourceIdentifier("local")], [x509.DNSName("x.a.example")]))
    found = findings_of(wish(uris=[pki.spiffe("foo")], dns=["*.a.example"]), load(made.secret()).line)
    assert sorted(finding.level for finding in found) == ["go", "openssl"]
    assert by_nobody(found) == found
    assert by_nobody(found[:1]) == ()


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"extra": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]}, "1.2.3.4"),
        ({"extra": [(x509.ExtendedKeyUsage([Eku.CLIENT_AUTH]), False)]}, "no purpose is left"),
        ({"extra": [(x509.SubjectAlternativeName([x509.DNSName("b.example")]), False)]}, "b.example"),
    ],
)
def test_a_line_that_nobody_accepts_is_no_ca(wishes: dict[str, Any], words: str) -> None:
    """Where nothing below could ever be accepted, the CA is not loaded, and the field and the reason are told."""
    root = ca(
        "root", extra=[(x509.ExtendedKeyUsage([Eku.SERVER_AUTH]), False), *limits([x509.DNSName("a.example")])["extra"]]
    )
    with pytest.raises(InvalidAuthority, match=words) as refused:
        load(root.intermediate("low", now=NOW, **wishes).secret())
    assert (refused.value.reason, refused.value.field) == ("NotVerifiable", "tls.crt")


def test_an_extension_that_is_not_critical_is_nobodys_affair() -> None:
    """Verifiers pass over what they do not know when it is not critical."""
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert not load(ca(extra=[(strange, False)]).secret()).line.findings


def test_dates() -> None:
    """What begins before the first of the line or ends after the last is cut to it, and told of where it is not."""
    found: Authority = load(
        ca("root", not_after=NOW + 5 * DAY).intermediate("low", not_before=NOW - timedelta(hours=1)).secret()
    )
    long = wish(days=9)
    assert [finding.field for finding in findings_of(long, found.line)] == ["duration"]
    cut = within(long, not_before=found.not_before, not_after=found.not_after)
    assert findings_of(cut, found.line) == ()
    assert cut.not_after == NOW + 5 * DAY
    nothing = within(long, not_before=NOW + 6 * DAY, not_after=found.not_after)
    assert [finding.level for finding in findings_of(nothing, found.line)] == ["nobody"]


def test_no_subject() -> None:
    """A certificate without a subject that signs itself, or below a CA without one, has no issuer name."""
    nameless = wish(subject=pki.name(), dns=["a.example"])
    assert told(None, nameless) == [("strict", "subject")]
    assert told(ca(), nameless) == []
    assert told(ca(subject=pki.name()), wish()) == [("strict", "subject")]


def _naive(host: str, constraint: str, *, below: bool) -> bool:
    """The rule as RFC 5280 and Go tell it, label by label."""
    host, constraint = host.lower(), constraint.lower()
    return (
        host == constraint
        or (constraint.startswith(".") and host.endswith(constraint))
        or (below and host.endswith("." + constraint))
    )


_LABEL = st.sampled_from(["a", "b", "example", "A" * 63, "x" * 200])
_HOST = st.lists(_LABEL, min_size=1, max_size=40).map(".".join)


@given(host=_HOST, cut=st.integers(0, 60), dot=st.booleans(), below=st.booleans())
def test_names_of_any_length_are_held_against_any_constraint(host: str, cut: int, dot: bool, below: bool) -> None:
    """However long a name is, it is in the domains that it ends with and in no others, after a bounded number of looks."""
    labels = host.split(".")
    ending = ".".join(labels[cut % len(labels) :])
    for constraint in (ending, "b." + ending, ending[1:]):
        text = "." * dot + constraint
        if not constraint or not all(constraint.split(".")):
            continue
        if len(text) > LONGEST:
            with pytest.raises(DerError, match="over 255"):
                read_subtrees(x509.NameConstraints([x509.DNSName(text)], None).public_bytes())
            continue
        side = read_subtrees(x509.NameConstraints([x509.DNSName(text)], None).public_bytes()).permitted
        assert side.dns.hold(host, below=below) is _naive(host, text, below=below)


def test_a_long_name_is_looked_up_in_few_steps() -> None:
    """A name of 20,000 labels costs no more than the longest that a host may have."""
    side = read_subtrees(x509.NameConstraints([x509.DNSName("zz.example")], None).public_bytes()).permitted
    host = _Counted("a." * 20_000 + "b")
    assert not side.dns.hold(host, below=True)
    assert host.read <= LONGEST + 2


class _Counted(str):
    """A host that counts how many of its characters were taken out of it."""

    __slots__ = ("read",)

    def __init__(self, _text: str) -> None:
        self.read = 0

    def __getitem__(self, index: Any) -> str:
        found = super().__getitem__(index)
        self.read += len(found)
        return found

    def lower(self) -> str:
        self.read += len(self)
        return super().lower()


LABELS = ("a", "*", "*a", "a*", "a*a", "a_a", "-a", "a-", "", "xn--a", "xn--*")
NAMES = sorted({".".join(parts) for count in (1, 2, 3) for parts in itertools.product(LABELS, repeat=count)})[::23]


def test_which_names_are_a_hosts() -> None:
    """Of names made of all kinds of labels, OpenSSL finds a host just for those of which we do not say that it finds none."""
    hosts = [name.replace("*", "zz") for name in NAMES]
    for name, host in zip(NAMES, hosts, strict=True):
        if not name or "-." in f"{name}." or not host.strip("."):
            continue  # a hyphen at a label's end: both read it where it is no wildcard
        leaf = ca("root", extra=[(x509.SubjectAlternativeName([x509.DNSName(name)]), False)])
        done = subprocess.run(
            ["openssl", "x509", "-noout", "-checkhost", host], input=leaf.pem, capture_output=True, check=False
        )
        found = b"does match" in done.stdout
        said = host_problem(name)
        if "*" in name:
            assert found is ("matches no host" not in said and "Go alone" not in said), (name, said, done.stdout)
        else:
            assert found or done.returncode, (name, said)


@pytest.mark.parametrize(
    ("name", "go", "openssl"),
    [
        ("example.com", True, True),
        ("*.example.com", True, True),
        ("localhost", True, True),
        ("a_b.example.com", True, True),
        ("*.com", True, False),
        ("*-my.example.com", False, True),
        ("my-*.example.com", False, True),
        ("*.*.example.com", False, False),
        ("*", False, False),
        ("a.*.example.com", False, False),
        ("example.com.", False, False),
        (".", False, False),
        ("a..b", False, False),
        ("10.0.0.1", False, False),
        ("fd00::1", False, False),
        ("caf\u00e9.example", False, False),
    ],
)
def test_a_name_that_matches_no_host_is_told(name: str, go: bool, openssl: bool) -> None:
    """Whoever signs, it is warned of and never refused; not for a CA, nor for what is no server's."""
    said = host_problem(name)
    assert (said == "", "Go alone" in said, "OpenSSL alone" in said) == (go and openssl, go > openssl, openssl > go)
    if not name.isascii():
        return
    told_of = [] if not said else [("host", "names")]
    made = ca("root")
    for one in (made, None):
        assert told(one, wish(dns=["b.example", name])) == told_of
        assert told(one, wish(("digital signature", "server auth"), dns=[name])) == told_of
        assert told(one, wish(("digital signature", "client auth"), dns=[name])) == []
        assert told(one, wish(SIGN, is_ca=True, dns=[name])) == []
    line = load(made.secret()).line
    found = findings_of(wish(dns=[name]), line)
    assert not by_nobody(found)
    assert not by_some(found)


@given(st.text(max_size=30))
def test_any_name_is_judged(name: str) -> None:
    """No text is too odd."""
    host_problem(name)
