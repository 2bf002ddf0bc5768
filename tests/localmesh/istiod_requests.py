"""Makes CertificateSigningRequests exactly as istiod does with EXTERNAL_CA=ISTIOD_RA_KUBERNETES_API.

Source: istio.io/istio security/pkg/k8s/chiron/utils.go (submitCSR, approveCSR, readSignedCsr) and
security/pkg/pki/util (the CSR itself). One request: create, approve with what create returned, watch that one name,
delete. Used with istiod's ServiceAccount and its chart's rights (istiod_rbac.yaml), so that spec.username is real.

Concurrency: asyncio; `request_certificate` is the one synchronous function, for the demo.
"""

import asyncio
import base64
import dataclasses
import datetime as dt
import functools
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from tests.localmesh import kubeconfig
from tests.localmesh.cluster import Cluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.pki import key_pem

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SIGNER_DOMAIN = "clusterissuers.cert-manager.io"
USAGES = ("digital signature", "key encipherment", "server auth", "client auth")
ISTIOD_TIMEOUT = 60.0  # certWatchTimeout: istiod waits this long, whatever the signer says
KeyKind = Literal["rsa", "ec"]


@dataclasses.dataclass(frozen=True)
class Workload:
    """Who asks (a SPIFFE ID's namespace and ServiceAccount) and for which signer.

    `signer` is ISTIO_META_CERT_SIGNER, the part after the signer domain; a name with a slash is taken whole.
    """

    namespace: str
    service_account: str
    signer: str
    trust_domain: str = "cluster.local"

    @property
    def spiffe_id(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"

    @property
    def signer_name(self) -> str:
        return self.signer if "/" in self.signer else f"{SIGNER_DOMAIN}/{self.signer}"


@dataclasses.dataclass(frozen=True)
class Issued:
    """One issued certificate, and how long it took from create to the certificate's arrival."""

    name: str
    uid: str
    workload: Workload
    chain: bytes  # PEM: leaf, then intermediates
    key: bytes = dataclasses.field(repr=False)  # PKCS#8 PEM
    seconds: float

    @property
    def certificate(self) -> x509.Certificate:
        """The leaf."""
        return x509.load_pem_x509_certificate(self.chain)


@dataclasses.dataclass(frozen=True)
class Created:
    """A request that was made by `create_requests` and not waited for."""

    name: str
    uid: str
    workload: Workload


class NotIssuedError(LocalMeshError):
    """What istiod sees as "timeout when watching CSR"; carries the last conditions, which istiod never reads."""


def install_istiod(cluster: Cluster, signers: Iterable[str]) -> Path:
    """Make istiod's ServiceAccount with its chart's rights on `signers` (as in Workload.signer); its kubeconfig."""
    names = [Workload("", "", signer).signer_name for signer in signers]
    text = Path(__file__).with_name("istiod_rbac.yaml").read_text()
    cluster.apply(text.replace("SIGNERS", json.dumps(names)))
    return cluster.service_account_kubeconfig("istio-system", "istiod")


@functools.lru_cache(256)
def make_csr(spiffe_id: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """The PEM of a CSR as pilot-agent makes it: subject O="" as PrintableString, one critical SAN with one URI.

    Byte for byte what Go's x509.CreateCertificateRequest gives for the same key, an ECDSA signature apart.
    """
    # cryptography would write UTF8String; Go writes PrintableString, and only the private argument can say so.
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "", _type=_ASN1Type.PrintableString)
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([organization]))
    csr = builder.add_extension(san, critical=True).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM)


def make_key(kind: KeyKind) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    """A workload's key: RSA 2048 (Istio's default) or P-256 (ECC_SIGNATURE_ALGORITHM=ECDSA)."""
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


def make_object(workload: Workload, csr: bytes, expiration_seconds: int | None = 86400) -> dict[str, Any]:
    """The CertificateSigningRequest that submitCSR creates; `expiration_seconds` None leaves the field out."""
    spec: dict[str, Any] = {
        "request": base64.b64encode(csr).decode(),
        "signerName": workload.signer_name,
        "usages": list(USAGES),
    }
    if expiration_seconds is not None:
        spec["expirationSeconds"] = expiration_seconds
    metadata = {"generateName": "csr-workload-"}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": metadata,
        "spec": spec,
    }


class Istiod:
    """The four calls of chiron, over one connection pool. Made by `istiod_client`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST the object; what the API server made of it."""
        return await self._call("POST", PATH, body)

    async def approve(self, created: dict[str, Any]) -> dict[str, Any]:
        """PUT /approval with the object that create returned: a 409 if anybody wrote to it in between."""
        name = created["metadata"]["name"]
        text = f"CSR ({name}) for the certificate () is approved"  # the DNS name, empty for workloads
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": "Approved", "status": "True", "reason": text, "message": text, "lastUpdateTime": now}
        body = created | {"status": {"conditions": [condition]}}
        return await self._call("PUT", f"{PATH}/{name}/approval", body)

    async def wait(self, name: str, seconds: float) -> bytes:
        """Watch one name until status.certificate is there; NotIssuedError after `seconds`.

        As istiod: one watch, without a resourceVersion (so it begins with the present state), conditions unread.
        """
        query = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(int(seconds) + 1)}
        last: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds), self._session.get(PATH, params=query) as answer:
                await _raise_for(answer)
                async for line in answer.content:
                    event = json.loads(line)
                    last = event["object"].get("status", {})
                    if certificate := last.get("certificate"):
                        return base64.b64decode(certificate)
                    if event["type"] in {"DELETED", "ERROR"}:
                        raise NotIssuedError(f"{name}: the watch ended with {event['type']}: {event['object']}")
        except TimeoutError:
            conditions = [one for one in last.get("conditions", []) if one["type"] != "Approved"]
            why = "; ".join(f"{one['type']}: {one.get('reason')}: {one.get('message')}" for one in conditions)
            raise NotIssuedError(f"{name}: no certificate within {seconds:.0f} s ({why or 'no condition'})") from None
        raise NotIssuedError(f"{name}: the API server ended the watch")

    async def delete(self, name: str) -> None:
        """DELETE, whatever came before; a request that is gone already is fine."""
        async with self._session.delete(f"{PATH}/{name}") as answer:
            if answer.status != 404:
                await _raise_for(answer)

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._session.request(method, path, json=body) as answer:
            await _raise_for(answer)
            result: dict[str, Any] = await answer.json()
            return result


async def _raise_for(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 400:
        raise LocalMeshError(f"{answer.method} {answer.url.path}: {answer.status} {(await answer.text())[:500]}")


@asynccontextmanager
async def istiod_client(kubeconfig_path: Path, connections: int = 64) -> AsyncIterator[Istiod]:
    """A client with the rights of `kubeconfig_path`; at most `connections` calls at once, watches included."""
    access = kubeconfig.read(kubeconfig_path)
    connector = aiohttp.TCPConnector(ssl=access.ssl_context(), limit=connections)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(
        access.server, connector=connector, headers=access.headers(), timeout=timeout
    ) as session:
        yield Istiod(session)


async def obtain_certificate(
    istiod: Istiod,
    workload: Workload,
    *,
    key: KeyKind = "rsa",
    expiration_seconds: int | None = 86400,
    timeout: float = ISTIOD_TIMEOUT,  # noqa: ASYNC109 - istiod's own limit, part of what is imitated
    keep: bool = False,
) -> Issued:
    """One request from beginning to end. Raises NotIssuedError; the object is deleted unless `keep`."""
    private = await asyncio.to_thread(make_key, key)
    started = time.perf_counter()
    body = make_object(workload, make_csr(workload.spiffe_id, private), expiration_seconds)
    created = await istiod.create(body)
    name = created["metadata"]["name"]
    try:
        await istiod.approve(created)
        chain = await istiod.wait(name, timeout)
        seconds = time.perf_counter() - started
    finally:
        if not keep:
            await istiod.delete(name)
    return Issued(name, created["metadata"]["uid"], workload, chain, key_pem(private), seconds)


def request_certificate(kubeconfig_path: Path, workload: Workload, **options: Any) -> Issued:
    """`obtain_certificate` for code without a loop; the same options."""

    async def run() -> Issued:
        async with istiod_client(kubeconfig_path) as istiod:
            return await obtain_certificate(istiod, workload, **options)

    return asyncio.run(run())


async def create_requests(
    kubeconfig_path: Path,
    workloads: Sequence[Workload],
    *,
    key: KeyKind = "rsa",
    keys: int = 8,
    concurrency: int = 32,
    expiration_seconds: int | None = 86400,
    approve: bool = True,
) -> list[Created]:
    """Make one approved request for each workload, as quickly as the API server takes them; nobody waits for them.

    Only `keys` different keys are made, and a CSR is signed once per key and SPIFFE ID, so that the API server
    is the bottleneck and not this function. The result is in the order of `workloads`.
    """
    pool = [await asyncio.to_thread(make_key, key) for _ in range(min(keys, len(workloads)))]
    numbered = iter(enumerate(workloads))
    made: list[Created | None] = [None] * len(workloads)

    async with istiod_client(kubeconfig_path, concurrency) as istiod, asyncio.TaskGroup() as tasks:

        async def work() -> None:
            for number, workload in numbered:  # the tasks share one iterator
                body = make_object(workload, make_csr(workload.spiffe_id, pool[number % len(pool)]), expiration_seconds)
                created = await istiod.create(body)
                if approve:
                    await istiod.approve(created)
                made[number] = Created(created["metadata"]["name"], created["metadata"]["uid"], workload)

        for _ in range(concurrency):
            tasks.create_task(work())
    return [one for one in made if one is not None]


async def delete_requests(kubeconfig_path: Path, names: Iterable[str], *, concurrency: int = 32) -> None:
    """Delete many requests quickly."""
    remaining = iter(list(names))
    async with istiod_client(kubeconfig_path, concurrency) as istiod, asyncio.TaskGroup() as tasks:

        async def work() -> None:
            for name in remaining:
                await istiod.delete(name)

        for _ in range(concurrency):
            tasks.create_task(work())
