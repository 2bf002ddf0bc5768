"""What we say of a certificate is what Go's and OpenSSL's verifiers say of it (issuers/verify.py).

Chains and wishes come from a seed: each CA of a chain differs from a plain one in a few ways, and below it certificates
of every kind are made. No API server is needed, only Go to build the small program once.
"""

import functools
import ipaddress
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku

from issuers.authority import Authority, load_authority
from issuers.certificate import new_serial, sign, template_for
from issuers.errors import InvalidAuthority
from issuers.line import by_nobody
from issuers.request import read_request
from issuers.template import CertificateTemplate, within
from issuers.verify import findings_of
from tests import pki
from tests.verifying import Question, refused_by_go, refused_by_openssl

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALL = ("server", "client", "email")
KEYS = ("digital signature", "key encipherment")


def constraints(
    permitted: list[x509.GeneralName] | None = None, excluded: list[x509.GeneralName] | None = None
) -> tuple[x509.ExtensionType, bool]:
    return x509.NameConstraints(permitted, excluded), True


def dns(text: str) -> x509.GeneralName:
    return x509.DNSName(text)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def email(text: str) -> x509.GeneralName:
    return x509.RFC822Name(text)


def net(text: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_network(text))


CONSTRAINTS = [
    constraints([dns("example.com")]),
    constraints([dns("a.example.com"), dns("shop.example")]),
    constraints([dns("other.org")]),
    constraints(None, [dns("example.com")]),
    constraints(None, [dns("b.example.com")]),
    constraints([uri("cluster.local")]),
    constraints([uri("local")]),
    constraints([uri(".local")]),
    constraints([uri("other.org")]),
    constraints(None, [uri("local")]),
    constraints(None, [uri("cluster.local")]),
    constraints([net("10.0.0.0/8")]),
    constraints([net("fd00::/8"), net("10.1.0.0/16")]),
    constraints([net("192.168.0.0/16")]),
    constraints(None, [net("10.0.0.0/24")]),
    constraints([email("example.com")]),
    constraints([email("a@mail.example.com")]),
    constraints([email(".example.com")]),
    constraints([email("other.org")]),
    constraints(None, [email("mail.example.com")]),
    constraints([dns("example.com"), uri("cluster.local"), net("10.0.0.0/8"), email("mail.example.com")]),
]
PURPOSES = [
    [Eku.SERVER_AUTH],
    [Eku.CLIENT_AUTH],
    [Eku.SERVER_AUTH, Eku.CLIENT_AUTH],
    [Eku.EMAIL_PROTECTION],
    [Eku.ANY_EXTENDED_KEY_USAGE],
    [Eku.ANY_EXTENDED_KEY_USAGE, Eku.CLIENT_AUTH],
]
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def ways(draw: random.Random, depth: int) -> dict[str, Any]:
    """How a CA differs from a plain one."""
    wishes: dict[str, Any] = {"extra": []}
    if draw.random() < 0.35:
        wishes["path_length"] = draw.choice([0, 0, 1, 2])
    if draw.random() < 0.3:
        wishes["extra"].append(draw.choice(CONSTRAINTS))
    if draw.random() < 0.25:
        wishes["extra"].append((x509.ExtendedKeyUsage(draw.choice(PURPOSES)), False))
    if draw.random() < 0.1:
        wishes["key_cert_sign"] = draw.choice([None, None, False])
    if draw.random() < 0.15:
        wishes["subject_key_id"] = False
    if draw.random() < 0.05:
        wishes["not_after"] = NOW + draw.choice([-1, 1]) * timedelta(minutes=30)
    elif draw.random() < 0.05:
        wishes["not_before"] = NOW + draw.choice([-1, 1]) * timedelta(minutes=30)
    if draw.random() < 0.04:
        wishes["extra"].append((STRANGE, draw.random() < 0.7))
    if draw.random() < 0.03:
        wishes["is_ca"] = draw.choice([False, None])
    if depth and draw.random() < 0.1:
        wishes["extra"].append(
            (x509.SubjectAlternativeName([draw.choice([dns("ca.example.com"), email("a@b.org")])]), False)
        )
    if depth and draw.random() < 0.7:
        wishes["aki"] = draw.choice(["right", "right", "right", "other"])
    return wishes


@functools.cache
def chains() -> list[tuple[str, list[pki.CA]]]:
    """CAs, the root first, with a text that says how to draw them again."""
    return list(_drawn())


def _drawn() -> Iterator[tuple[str, list[pki.CA]]]:
    for seed in range(160):
        draw = random.Random(seed)
        made: list[pki.CA] = []
        for depth in range(draw.choice([1, 1, 2, 2, 3])):
            wishes = ways(draw, depth)
            aki = wishes.pop("aki", None)
            parent = made[-1] if made else None
            if parent is not None and aki is not None:
                key = parent.private.public_key() if aki == "right" else pki.key(n=99).public_key()
                known = parent.certificate.extensions
                own = [one.value for one in known if isinstance(one.value, x509.SubjectKeyIdentifier)]
                identifier = (
                    own[0].digest if own and aki == "right" else x509.SubjectKeyIdentifier.from_public_key(key).digest
                )
                wishes["extra"].append((x509.AuthorityKeyIdentifier(identifier, None, None), False))
            kind = draw.choice(["p256", "p256", "rsa"])
            made.append(pki.CA(f"ca-{depth}", private=pki.key(kind, n=depth + 50), parent=parent, now=NOW, **wishes))
        yield f"seed {seed}", made


@dataclass(frozen=True)
class Wish:
    """A certificate that is asked for, and for what it is meant."""

    names: dict[str, Any]
    usages: tuple[str, ...] = KEYS
    is_ca: bool = False

    @property
    def purposes(self) -> tuple[str, ...]:
        return tuple(usage.partition(" ")[0] for usage in self.usages if usage.endswith((" auth", " protection")))


WISHES = {
    "workload": Wish({"uris": [pki.spiffe("foo")]}, pki.WORKLOAD_USAGES),
    "server": Wish({"dns": ["a.example.com"]}, (*KEYS, "server auth")),
    "wildcard": Wish({"dns": ["*.example.com"]}, (*KEYS, "server auth")),
    "address": Wish({"ips": ["10.0.0.1", "fd00::1"]}, (*KEYS, "server auth")),
    "old server": Wish({"subject": pki.name("a.other.org")}, (*KEYS, "server auth")),
    "client": Wish({"subject": pki.name("client"), "emails": ["a@mail.example.com"]}, (*KEYS, "client auth")),
    "plain": Wish({"subject": pki.name("plain"), "dns": ["a.example.com", "b.example.com"]}),
    "odd name": Wish({"dns": ["a.example.com."], "uris": ["urn:a:b"]}),
    "mail": Wish({"emails": ["a@mail.example.com"]}, (*KEYS, "email protection")),
    "bare server": Wish({"dns": ["a.example.com"]}, ("content commitment", "server auth")),
    "ca": Wish({"subject": pki.name("below"), "dns": ["x.example.com"]}, ("cert sign",), is_ca=True),
    "ca for servers": Wish({"subject": pki.name("below")}, ("cert sign", "server auth"), is_ca=True),
    "ca of the same name": Wish({"subject": pki.name("ca-0")}, ("cert sign",), is_ca=True),
    "no ca": Wish({"subject": pki.name("below")}, ("digital signature",), is_ca=True),
    "leaf of the same name": Wish({"subject": pki.name("ca-0"), "dns": ["a.example.com"]}, (*KEYS, "server auth")),
}


def template(wish: Wish) -> CertificateTemplate:
    return template_for(
        read_request(pki.csr(pki.key(n=7), **wish.names)),
        usages=wish.usages,
        duration=timedelta(hours=1),
        is_ca=wish.is_ca,
        now=NOW,
    )


def child(parent: bytes, signer: pki.Key) -> bytes:
    """A leaf of the CA in `parent`, without names that constraints could mean."""
    issuer = x509.load_pem_x509_certificates(parent)[0]
    own = [one.value for one in issuer.extensions if isinstance(one.value, x509.SubjectKeyIdentifier)]
    above = x509.AuthorityKeyIdentifier(own[0].digest if own else None, None, None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(pki.name("child"))
        .issuer_name(issuer.subject)
        .public_key(pki.key(n=8).public_key())
        .serial_number(5)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(minutes=5))
        .add_extension(above, critical=False)
    )
    return pki.cert_pem(builder.sign(signer, pki.digest_for(signer)))


def load(made: list[pki.CA]) -> Authority | InvalidAuthority:
    data = made[-1].secret()
    try:
        return load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"], now=NOW)
    except InvalidAuthority as error:
        return error


def level(go: list[bool], openssl: list[bool], *, one_is_enough: bool) -> str:
    """How a certificate stands, by what the two say of each purpose."""
    if not any(go) and not any(openssl):
        return "nobody"
    if not any(go) or not any(openssl):
        return "openssl" if any(go) else "go"
    return "good" if one_is_enough or (all(go) and all(openssl)) else "part"


def ours(authority: Authority, wish: CertificateTemplate) -> str:
    every = (*findings_of(wish, authority.line), *authority.line.findings)
    if by_nobody(every):
        return "nobody"
    levels = {finding.level for finding in every}
    return next((one for one in ("go", "openssl", "part") if one in levels), "good")


def test_the_verdict_is_that_of_go_and_openssl() -> None:
    """For 1,500 pairs of a chain and a wish: who accepts the certificate, and for what, is what was said before it was made."""
    told: list[tuple[str, str, int, bool]] = []
    asked: list[Question] = []
    for drawn, made in chains():
        found = load(made)
        if isinstance(found, InvalidAuthority):
            continue
        for kind, wish in WISHES.items():
            wanted = within(template(wish), not_before=found.not_before, not_after=found.not_after)
            chain = sign(wanted, found, serial=new_serial()).pem
            if wish.is_ca:
                chain = child(chain, pki.key(n=7)) + chain
            any_does = wish.is_ca or not wish.purposes
            purposes = ALL if any_does else wish.purposes
            told.append((f"{drawn}, {kind}", ours(found, wanted), len(purposes), any_does))
            asked += [Question(chain, made[0].pem, NOW, (purpose,)) for purpose in purposes]
    go = iter([not text for text in refused_by_go(asked)])
    openssl = iter([not refused_by_openssl(question) for question in asked])
    wrong = []
    seen: Counter[str] = Counter()
    for where, said, count, one_is_enough in told:
        truth = level(
            list(itertools.islice(go, count)), list(itertools.islice(openssl, count)), one_is_enough=one_is_enough
        )
        seen[truth] += 1
        if said != truth:
            wrong.append(f"{where}: we say {said}, it is {truth}")
    assert not wrong, "\n".join(wrong)
    assert len(told) > 1000
    assert all(seen[one] > 10 for one in ("nobody", "go", "openssl", "part", "good")), seen


def test_a_ca_that_is_not_loaded_signs_nothing_that_is_accepted() -> None:
    """What is said of a CA as a whole (not Ready) is true for every purpose, with Go and with OpenSSL."""
    asked: list[tuple[str, Question]] = []
    for drawn, made in chains():
        # Of a root that is trusted verifiers may ask nothing; we want it to say that it is a CA.
        loose = not any(isinstance(one.value, x509.BasicConstraints) for one in made[0].certificate.extensions)
        if not loose and isinstance(found := load(made), InvalidAuthority):
            chain = child(made[-1].pem, made[-1].private) + made[-1].secret()["tls.crt"]
            asked.append((f"{drawn}: {found.reason} {found}", Question(chain, made[0].pem, NOW, ALL)))
    by_go = refused_by_go([question for _, question in asked])
    accepted = [
        text for (text, question), go in zip(asked, by_go, strict=True) if not (go and refused_by_openssl(question))
    ]
    assert not accepted, "\n".join(accepted)
    assert {text.split()[2] for text, _ in asked} >= {
        "NotVerifiable",
        "PathLength",
        "KeyUsageMissing",
        "NotCA",
        "Expired",
        "NotYetValid",
    }


def test_strict_verifiers_refuse_what_is_warned_of() -> None:
    """A finding of level "strict" is one of `openssl verify -x509_strict`, and it has none that we do not name."""
    wrong = []
    seen: Counter[bool] = Counter()
    for drawn, made in chains():
        found = load(made)
        if isinstance(found, InvalidAuthority):
            continue
        for kind, wish in WISHES.items():
            wanted = within(template(wish), not_before=found.not_before, not_after=found.not_after)
            if wish.is_ca or ours(found, wanted) != "good":
                continue
            chain = sign(wanted, found, serial=new_serial()).pem
            # That a name is no host's is no verifier's matter.
            said = [one for one in findings_of(wanted, found.line) if one.level != "host"]
            warned = bool(said or found.line.findings)
            question = Question(chain, made[0].pem, NOW)
            refused = refused_by_openssl(question, strict=True)
            seen[warned] += 1
            if warned != bool(refused):
                wrong.append(f"{drawn}, {kind}: warned of: {warned}, refused: {refused or 'no'}")
    assert not wrong, "\n".join(wrong)
    assert min(seen.values()) > 20, seen
