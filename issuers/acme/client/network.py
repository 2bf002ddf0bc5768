"""Requests as ACME wants them (RFC 8555, section 6): signed, each with a nonce, and errors read from every answer.

It stands in place of the `acme` library's ClientNetwork, which forgets the nonce of an error, tries a refused nonce once
more only, and drops the header Retry-After and the problem of a 409. Signing itself is the library's.

Used on one event loop, by any number of requests at once: a nonce is taken by one of them only.
"""

import asyncio
import base64
import binascii
import contextlib
import datetime as dt
import re
from collections.abc import Callable

import tenacity
from acme import jws

from issuers.acme import retry_after
from issuers.acme.account import AccountKey
from issuers.acme.answers import read_problem
from issuers.acme.client.transport import Answer, Transport
from issuers.acme.errors import MalformedAnswer, Refused

# RFC 8555, section 6.5: a refused nonce is not a failure, the same request is sent with the next one. So often, that nine of
# ten may be refused and 199 of 200 requests still pass; and no longer than this, or a slow CA would keep a worker for minutes.
NONCE_TRIES = 50
_NONCE_SECONDS = 30.0
_MAX_NONCES = 10
_NONCE = re.compile(r"[A-Za-z0-9_-]{1,512}")
_JOSE = "application/jose+json"
_LINK = re.compile(r'<([^<>\s]{1,2048})>((?:\s*;\s*[\w*-]+\s*=\s*(?:"[^"]*"|[^\s;,"]*))*)')
_ALTERNATE = re.compile(r';\s*rel\s*=\s*(?:"(?:[^"]*\s)?alternate(?:\s[^"]*)?"|alternate)(?=\s*(?:;|$))', re.IGNORECASE)


class Network:
    """Signed requests of one account."""

    def __init__(self, transport: Transport, key: AccountKey, clock: Callable[[], dt.datetime]) -> None:
        """`clock` gives aware UTC; it is asked when Retry-After counts seconds."""
        self._transport = transport
        self._key = key
        self._clock = clock
        self._nonces: list[bytes] = []

    @property
    def transport(self) -> Transport:
        """What carries the requests."""
        return self._transport

    async def get(self, url: str) -> Answer:
        """An unsigned GET. Raises Refused, and what Transport raises."""
        return self._checked(await self._transport.exchange("GET", url))

    async def post(
        self,
        url: str,
        payload: bytes,
        new_nonce: str,
        *,
        account: str | None,
        accept: str | None = None,
    ) -> Answer:
        """A signed POST; b"" as payload makes it a POST-as-GET.

        Args:
            url: where; it is signed too.
            payload: JSON, or b"".
            new_nonce: the directory's newNonce, for when no nonce is at hand.
            account: its URL, the key id; None signs with the public key in the request (newAccount).
            accept: the media type that is wanted, when it is not JSON.

        Raises Refused, and what Transport raises. A refused nonce is tried again, NONCE_TRIES in all and for 30 s at most.
        """
        headers = {"Content-Type": _JOSE, **({"Accept": accept} if accept else {})}

        async def once() -> Answer:
            nonce = await self._nonce(new_nonce)
            if self._key.slow:
                body = await asyncio.to_thread(self._signed, payload, url, nonce, account)
            else:
                body = self._signed(payload, url, nonce, account)
            return self._checked(await self._transport.exchange("POST", url, body=body, headers=headers))

        # No wait between the tries: a refused nonce says nothing about load, and its answer brings a good one.
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_nonce_refused),
            stop=tenacity.stop_after_attempt(NONCE_TRIES) | tenacity.stop_after_delay(_NONCE_SECONDS),
            reraise=True,
        )
        return await tries(once)

    def _signed(self, payload: bytes, url: str, nonce: bytes, account: str | None) -> bytes:
        key = self._key
        signed = jws.JWS.sign(payload, key=key.jwk, alg=key.algorithm, nonce=nonce, url=url, kid=account)
        text: str = signed.json_dumps()
        return text.encode()

    def retry_after(self, answer: Answer) -> dt.datetime | None:
        """The answer's Retry-After as an instant."""
        return retry_after.parse(answer.headers.get("Retry-After"), self._clock())

    def _checked(self, answer: Answer) -> Answer:
        if (nonce := answer.headers.get("Replay-Nonce")) is not None:
            self._keep(nonce)
        if answer.status < 200 or answer.status >= 300:
            problem = read_problem(answer.body, answer.status, answer.content_type)
            raise Refused(problem, retry_after=self.retry_after(answer))
        return answer

    async def _nonce(self, new_nonce: str) -> bytes:
        if not self._nonces:
            self._checked(await self._transport.exchange("HEAD", new_nonce))
            if not self._nonces:
                raise MalformedAnswer("newNonce: the answer has no Replay-Nonce that is base64url")
        return self._nonces.pop()

    def _keep(self, nonce: str) -> None:
        """Keep it for the next request. One that is none is ignored (RFC 8555, 6.5.1): this answer is as good without."""
        if not _NONCE.fullmatch(nonce):
            return
        with contextlib.suppress(binascii.Error):
            self._nonces.append(base64.urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4)))
        del self._nonces[:-_MAX_NONCES]


def alternates(answer: Answer) -> tuple[str, ...]:
    """The URLs of the Link headers with rel="alternate" (RFC 8555, section 7.4.2), each once, as they stand there."""
    found: list[str] = []
    for header in answer.headers.getall("Link", ()):
        for target, parameters in _LINK.findall(header[:8192]):
            if _ALTERNATE.search(parameters):
                found.append(target)
    return tuple(dict.fromkeys(found))


def _nonce_refused(error: BaseException) -> bool:
    return isinstance(error, Refused) and error.code == "badNonce"
