"""What the evaluation of a request comes to: to issue, or a question that the caller asks first. Values."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from issuers.authority import Authority
from issuers.certificate import CertificateTemplate
from signer.api.certificatesigningrequest import RequestContent
from signer.api.issuer import IssuerRef
from signer.api.pod import Surroundings
from signer.tenancy.verdict import Grant, Inquiry, Refuse, Route, Unready, Wait


@dataclass(frozen=True, slots=True)
class Issue:
    """To be issued: what the certificate says, who signs it (`authority`, else the request's own `key`), on what `grant`.

    `decided` is when, where the answer says it. `identity` is its one URI, `names` all that it names if that is more
    (signer/observe/names.py). `warnings` say which verifiers will not accept it, though others do. `route` is how this CA was
    chosen, where identity did: then the answer ends with its root.
    """

    template: CertificateTemplate
    authority: Authority | None
    grant: Grant
    key: Any = field(default=None, repr=False)
    requester: str = ""
    identity: str = ""
    names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    decided: datetime | None = None
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class AskReference:
    """May this requester reference this Issuer? To be asked of the API server (SubjectAccessReview)."""

    issuer: IssuerRef
    content: RequestContent


@dataclass(frozen=True, slots=True)
class AskKey:
    """Which private key is in this Secret? For a self-signed certificate."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class AskPod:
    """Is this Pod there, with this account, on this node? To be read live, last of all."""


@dataclass(frozen=True, slots=True)
class NoKey:
    """The answer to AskKey when the Secret is missing, unreadable, holds no usable key, or is a CA's.

    `broken`: it is there, is no CA's, and its key cannot be used.
    """

    broken: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """What was asked for and found out so far: None is "not asked". `fresh`: the tenant's claims were read live.

    `pod` is the Pod of a PodCertificateRequest, and what it rests on.
    """

    may_reference: bool | None = None
    key: Any = field(default=None, repr=False)
    fresh: bool = False
    pod: Surroundings | None = None


NOTHING_ASKED = Answers()

Verdict = Issue | Refuse | Wait | Unready | AskReference | AskKey | Inquiry
