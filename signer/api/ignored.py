"""cert-manager's annotations of Gateways and Ingresses that nothing is done for here: who sets one is told, and `convert` tells it too.

Values; pure. Those that are carried out are in `signer/edge/gateways/opt_in.py`.
Source: https://cert-manager.io/docs/reference/annotations/ and, for the Gateway API, its release notes up to 1.21.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

_BY_HAND = "write a Certificate of your own for this Secret, and say it there in spec."
_HOSTS = "a certificate is for the hosts that the object serves: name it among them"
_SUBJECT = "a certificate here is for hosts alone, and public CAs leave all else of a subject out: remove it"
_ANSWERED = "a challenge is answered at whatever serves the host; an issuer's solver says otherwise: remove it"
_SOLVED = "an issuer's solver says it, in http01.ingress: move it there"
IGNORED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("cert-manager.io/alt-names", "cert-manager.io/ip-sans"), _HOSTS),
        **dict.fromkeys((f"cert-manager.io/{one}-sans" for one in ("uri", "email")), _SUBJECT),
        **dict.fromkeys(
            (
                f"cert-manager.io/subject-{one}"
                for one in (
                    *("organizations", "organizationalunits", "countries", "provinces", "localities"),
                    *("postalcodes", "streetaddresses", "serialnumber"),
                )
            ),
            _SUBJECT,
        ),
        "cert-manager.io/usages": f"{_BY_HAND}usages",
        "cert-manager.io/private-key-encoding": f"{_BY_HAND}privateKey.encoding",
        "cert-manager.io/renew-before-percentage": "say it as a duration, in cert-manager.io/renew-before",
        "cert-manager.io/secret-template": f"{_BY_HAND}secretTemplate",
        "cert-manager.io/issue-temporary-certificate": "a placeholder stands in the Secret until the first certificate: remove it",
        "cert-manager.io/ignore-tls-listeners": "who names no Secret gets no certificate: remove certificateRefs from these listeners",
        "acme.cert-manager.io/http01-edit-in-place": _ANSWERED,
        "acme.cert-manager.io/http01-parentreffallback": _ANSWERED,
        "acme.cert-manager.io/http01-ingress-class": _SOLVED,
        "acme.cert-manager.io/http01-ingress-ingressclassname": _SOLVED,
    }
)
"""The annotations, each with what to do instead."""
TLS_ACME = "kubernetes.io/tls-acme"
"""Asks a default issuer for a certificate, at cert-manager; of no use beside an annotation that names one."""
TLS_ACME_ALONE = "it names no issuer: ask by cert-manager.io/cluster-issuer or cert-manager.io/issuer"


def remedies(annotations: Mapping[str, object], *, asked: bool) -> Iterator[tuple[str, str]]:
    """Give those that nothing is done for, each with what to do instead; `asked`: whether an issuer is named anyhow."""
    yield from ((key, remedy) for key, remedy in IGNORED.items() if key in annotations)
    if not asked and annotations.get(TLS_ACME) == "true":
        yield TLS_ACME, TLS_ACME_ALONE
