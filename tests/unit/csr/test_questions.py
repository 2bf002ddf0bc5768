"""What is asked of the API server: as cert-manager asks it, and never so that an answer betrays a Secret."""

import base64
import json
from collections.abc import Callable
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.x509 import parts
from signer.api.certificatesigningrequest import read_content
from signer.api.tls_secret import leaf_of
from signer.csr.outcome import NoKey
from signer.csr.questions import Questions, key_in
from signer.kube.client import ApiClient
from signer.kube.errors import ServerError
from tests.fakes.apiserver import FakeApiServer, Reply, status
from tests.pki import CA, key, key_pem
from tests.unit.csr.crafted import GROUPS, ISTIOD, NOW, SHOP, request
from tests.unit.issuers import odd

KEY = key("p256", n=80)
LEAF = CA("leaf", is_ca=False, private=KEY, now=NOW)
PLAIN = CA("plain", is_ca=None, private=KEY, now=NOW)
ISSUER = CA("issuer", private=KEY, now=NOW)


class Registry:
    def __init__(self, *ca_secrets: tuple[str, str]) -> None:
        self.ca_secrets = set(ca_secrets)

    def is_ca_secret(self, namespace: str, name: str) -> bool:
        return (namespace, name) in self.ca_secrets


def review(*, allowed: Any) -> Reply:
    return Reply(201, json.dumps({"kind": "SubjectAccessReview", "status": {"allowed": allowed}}).encode())


class Asked:
    """Asks a scripted API server, on a clock that a test moves."""

    def __init__(self, *replies: Reply, registry: Registry | None = None) -> None:
        self.server = FakeApiServer(others=list(replies))
        self.registry = registry or Registry()
        self.now = 1000.0

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        self.client = ApiClient(self.server.config)
        await self.client.__aenter__()
        self.questions = Questions(self.client, self.registry, lambda: self.now)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.__aexit__(None, None, None)
        await self.server.__aexit__(None, None, None)

    async def reference(self, **fields: Any) -> bool:
        return await self.questions.may_reference(SHOP, read_content(request(**fields)))

    def asked(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [json.loads(seen.body)["spec"] for seen in self.server.seen]
        return found


class TestMayReference:
    async def test_what_is_asked(self) -> None:
        """The API server is asked about this requester, with all that it is known by, and this Issuer by name."""
        async with Asked(review(allowed=True)) as asked:
            assert await asked.reference(extra={"k": ("v", "w")})
            assert asked.server.seen[0].path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
            assert asked.asked() == [
                {
                    "user": ISTIOD,
                    "uid": "u-istiod",
                    "groups": list(GROUPS),
                    "extra": {"k": ["v", "w"]},
                    "resourceAttributes": {
                        "group": "cert-manager.io",
                        "resource": "signers",
                        "verb": "reference",
                        "namespace": "shop",
                        "name": "ca",
                        "version": "*",
                    },
                }
            ]

    async def test_all_issuers_of_the_namespace(self) -> None:
        """Who may not by name may by "*"."""
        async with Asked(review(allowed=False), review(allowed=True)) as asked:
            assert await asked.reference()
            assert [spec["resourceAttributes"]["name"] for spec in asked.asked()] == ["ca", "*"]

    @pytest.mark.parametrize("allowed", [False, None, "true", 1, {}])
    async def test_no(self, allowed: object) -> None:
        """Nothing but a plain "allowed": true is a yes."""
        async with Asked(review(allowed=allowed), review(allowed=allowed)) as asked:
            assert not await asked.reference()

    async def test_a_yes_lasts_ten_seconds(self) -> None:
        """A yes is remembered for ten seconds, for that requester and Issuer."""
        async with Asked(*[review(allowed=True)] * 2) as asked:
            assert await asked.reference()
            asked.now += 9.9
            assert await asked.reference()
            assert len(asked.server.seen) == 1
            asked.now += 0.2
            assert await asked.reference()
            assert len(asked.server.seen) == 2

    @pytest.mark.parametrize(
        "other",
        [{"username": "eve"}, {"user_uid": "2"}, {"groups": ()}, {"extra": {"scopes": ("less",)}}],
        ids=["user", "uid", "groups", "extra"],
    )
    async def test_a_yes_is_for_one_requester(self, other: dict[str, Any]) -> None:
        """Another user, uid, group or extra is asked about anew."""
        async with Asked(review(allowed=True), review(allowed=False), review(allowed=False)) as asked:
            assert await asked.reference()
            assert not await asked.reference(**other)

    async def test_a_no_is_asked_again(self) -> None:
        """A no is not remembered: it ended the request that it was for, and a right may be given any time."""
        async with Asked(*[review(allowed=False)] * 2, review(allowed=True)) as asked:
            assert not await asked.reference()
            assert await asked.reference()

    async def test_no_answer(self) -> None:
        """An API server that fails has said neither yes nor no."""
        async with Asked(status(500, "InternalError")) as asked:
            with pytest.raises(ServerError):
                await asked.reference()

    async def test_memory_is_bounded(self) -> None:
        """Ten thousand requesters do not fill the memory."""
        async with Asked() as asked:
            asked.questions._allowed = dict.fromkeys(range(4096), 0.0)
            asked.server.others.append(review(allowed=True))
            assert await asked.reference()
            assert len(asked.questions._allowed) == 1


def secret(**data: bytes | str) -> Reply:
    """A Secret; bytes are encoded, text stands as it is."""
    names = {"tls_key": "tls.key", "tls_crt": "tls.crt"}
    body = {
        names[name]: value if isinstance(value, str) else base64.b64encode(value).decode()
        for name, value in data.items()
    }
    return Reply(body=json.dumps({"metadata": {"name": "own-key"}, "data": body}).encode())


def next_key() -> Reply:
    """The Secret of a renewal that is under way: a key, and a label that says so."""
    body = json.loads(bytes(secret(tls_key=key_pem(KEY)).body))
    body["metadata"]["labels"] = {"cert-manager.io/next-private-key": "true"}
    return Reply(body=json.dumps(body).encode())


def damaged(certificate: bytes) -> bytes:
    """Put an extension in twice: what pyca raises for it is not a ValueError."""
    found = x509.load_pem_x509_certificate(certificate)
    raw = found.public_bytes(Encoding.DER)
    ski = bytes.fromhex("0603551d0e")
    assert ski in raw
    twice = raw.replace(ski, bytes.fromhex("0603551d13"))
    text = base64.encodebytes(twice)
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"


USABLE: list[tuple[str, Callable[[], Reply]]] = [
    ("key alone", lambda: secret(tls_key=key_pem(KEY))),
    ("with an empty certificate", lambda: secret(tls_key=key_pem(KEY), tls_crt=b"")),
    ("with a leaf", lambda: secret(tls_key=key_pem(KEY), tls_crt=LEAF.pem)),
    ("with a certificate without BasicConstraints", lambda: secret(tls_key=key_pem(KEY), tls_crt=PLAIN.pem)),
]

UNUSABLE: list[tuple[str, Callable[[], Reply]]] = [
    ("a CA's", lambda: secret(tls_key=key_pem(KEY), tls_crt=ISSUER.pem)),
    ("an unreadable certificate", lambda: secret(tls_key=key_pem(KEY), tls_crt=b"x")),
    ("a certificate with one extension twice", lambda: secret(tls_key=key_pem(KEY), tls_crt=damaged(ISSUER.pem))),
    ("a certificate that is not base64", lambda: secret(tls_key=key_pem(KEY), tls_crt="%")),
    ("the key of a Certificate that is being renewed, which may be a CA's", next_key),
    ("a CA's without a key", lambda: secret(tls_crt=ISSUER.pem)),
    ("a CA's with a broken key", lambda: secret(tls_key=b"x", tls_crt=ISSUER.pem)),
    ("no Secret", lambda: status(404, "NotFound")),
]
BROKEN: list[tuple[str, Callable[[], Reply]]] = [
    ("no key", lambda: secret(tls_crt=LEAF.pem)),
    ("an empty key", lambda: secret(tls_key=b"")),
    ("a broken key", lambda: secret(tls_key=key_pem(KEY)[:100])),
    ("an encrypted key", lambda: secret(tls_key=key_pem(KEY, b"password"))),
    ("a weak key", lambda: secret(tls_key=key_pem(key("rsa1024")))),
    ("no base64", lambda: secret(tls_key="%%%")),
    ("no data", lambda: Reply(body=b'{"metadata": {}}')),
    ("data of another kind", lambda: Reply(body=b'{"data": ["tls.key"]}')),
    ("a key of another kind", lambda: Reply(body=b'{"data": {"tls.key": 1}}')),
]


class TestKey:
    @pytest.mark.parametrize(("_what", "reply"), USABLE, ids=[row[0] for row in USABLE])
    async def test_usable(self, _what: str, reply: Callable[[], Reply]) -> None:
        """The key of a Secret that is not a CA's is given."""
        async with Asked(reply()) as asked:
            found = await asked.questions.key("cert-manager", "own-key")
            assert asked.server.seen[0].path == "/api/v1/namespaces/cert-manager/secrets/own-key"
        assert isinstance(found, ec.EllipticCurvePrivateKey)
        assert key_pem(found) == key_pem(KEY)

    @pytest.mark.parametrize(("_what", "reply"), UNUSABLE, ids=[row[0] for row in UNUSABLE])
    async def test_unusable(self, _what: str, reply: Callable[[], Reply]) -> None:
        """Missing, of an issuance under way and a CA's, whatever is wrong with it: all look alike to who asks."""
        async with Asked(reply()) as asked:
            assert await asked.questions.key("cert-manager", "own-key") == NoKey()

    @pytest.mark.parametrize(("_what", "reply"), BROKEN, ids=[row[0] for row in BROKEN])
    async def test_broken(self, _what: str, reply: Callable[[], Reply]) -> None:
        """A Secret that is no CA's and has no usable key is told apart from a missing one, as cert-manager does."""
        async with Asked(reply()) as asked:
            assert await asked.questions.key("cert-manager", "own-key") == NoKey(broken=True)

    async def test_the_secret_of_a_ca_issuer_is_not_even_read(self) -> None:
        """A Secret that a `ca` issuer signs with is never read for anybody."""
        async with Asked(registry=Registry(("cert-manager", "foo-ca"))) as asked:
            assert await asked.questions.key("cert-manager", "foo-ca") == NoKey()
            assert not asked.server.seen

    @pytest.mark.parametrize("name", ["../../../foo", "a/b", "..", "a?b", "a b", "\n"])
    async def test_a_name_that_can_be_no_secrets(self, name: str) -> None:
        """A name that would lead elsewhere than to a Secret is as good as missing."""
        async with Asked(status(404, "NotFound")) as asked:
            assert await asked.questions.key("cert-manager", name) == NoKey()
            assert all(seen.path.startswith("/api/v1/namespaces/cert-manager/secrets/") for seen in asked.server.seen)

    async def test_no_right(self, caplog: pytest.LogCaptureFixture) -> None:
        """A Secret that we may not read is told to the operator; who asks learns what a missing one would tell."""
        async with Asked(status(403, "Forbidden")) as asked:
            assert await asked.questions.key("cert-manager", "own-key") == NoKey()
        assert "Secret cert-manager/own-key may not be read by the signer: 403 Forbidden" in caplog.text

    async def test_no_answer(self) -> None:
        """A Secret that cannot be read just now is not missing."""
        async with Asked(status(503, "ServiceUnavailable")) as asked:
            with pytest.raises(ServerError):
                await asked.questions.key("cert-manager", "own-key")


async def test_beside_a_certificate_that_nobody_can_read() -> None:
    """The key beside a CA's certificate, or one that nobody can say of whether it is a CA's, signs nothing on anybody's word."""
    signs = 0
    for what, data in odd.TABLE.items():
        entries = {"tls.crt": odd.pem(data), "tls.key": key_pem(odd.KEY)}
        found = await key_in({"data": {name: base64.b64encode(text).decode() for name, text in entries.items()}})
        leaf = leaf_of(odd.pem(data))
        if leaf is None or parts.is_ca(leaf) is not False:
            assert found == NoKey(), what
        else:
            signs += found != NoKey()
    assert signs > 5
