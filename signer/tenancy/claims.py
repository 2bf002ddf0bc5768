"""What the ProxyConfigs of a namespace claim, by Istio's own rules. Pure.

Istio sorts by creation time, then name, and takes the first object without a selector for the whole namespace; it alone
counts, even if it names no signer. Objects with a selector go before it for the Pods that they select; a request
carries no labels, so all of them count. An object that is being deleted counts until it is gone, as Istio gives its
signer to Pods until then.
Source: istio pilot/pkg/model/proxy_config.go (mergedNamespaceConfig, mergedWorkloadConfig), model/config.go.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from signer.api.issuer import IssuerRef
from signer.api.meta import from_rfc3339
from signer.api.names import is_issuer
from signer.api.proxyconfig import CERT_SIGNER, ProxyConfig
from signer.api.signername import CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN, parse_signer_name
from signer.api.text import capped, shown
from signer.tenancy.world import Claims, ProxyConfigName

_BEGINNING = datetime.min.replace(tzinfo=UTC)


def signer_of(value: str, domain: str) -> IssuerRef | None:
    """Return the issuer that a value of ISTIO_META_CERT_SIGNER means under istiod's CERT_SIGNER_DOMAIN.

    None for nothing, for a value that can name no issuer, and for every value under a domain that is not ours.
    """
    return read_signer_name(f"{domain}/{value}")


def read_signer_name(signer_name: str) -> IssuerRef | None:
    """Return the issuer of ours that a full signer name means, None where no such issuer can exist."""
    ref = parse_signer_name(signer_name)
    return ref if ref is not None and is_issuer(ref) else None


def is_ours(signer_name: str) -> bool:
    """Tell whether a full signer name is in a domain that we serve, well formed or not."""
    return signer_name.partition("/")[0] in {CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN}


def value_problem(value: str, domain: str) -> str:
    """Say what is wrong with a value of ISTIO_META_CERT_SIGNER; "" if nothing is, or if it is not ours to judge."""
    if not value or not is_ours(f"{domain}/") or signer_of(value, domain) is not None:
        return ""
    return f"{shown(value)} is not a valid issuer name under {domain}"


def read_claims(proxy_configs: Iterable[ProxyConfig], signer_domain: str) -> Claims:
    """Read the claims of one namespace from all of its ProxyConfigs.

    One that cannot be read is a problem and is skipped; a value that can name no issuer is a problem and no claim.
    """
    ordered = sorted(proxy_configs, key=_age)
    whole: ProxyConfig | None = None
    first: ProxyConfig | None = None
    signers: dict[IssuerRef, ProxyConfigName] = {}
    told: dict[str, list[str]] = {}

    def problem(about: ProxyConfig, text: str) -> None:
        told.setdefault(about.metadata.name, []).append(_named(about, text))

    for one in ordered:
        selector = one.spec.selector
        if one.problem:
            problem(one, one.problem)
            continue
        first = first or one
        if selector is not None and not selector.match_labels:
            problem(one, "spec.selector.matchLabels: is empty, so Istio gives it to no workload")
            continue
        if name := one.misspelt:
            problem(
                one, f"spec.environmentVariables.{shown(name)}: says nothing about signers: is {CERT_SIGNER} meant?"
            )
        if selector is None:
            if whole is not None:
                if one.cert_signer and one.cert_signer != whole.cert_signer:
                    older = f"ProxyConfig {whole.metadata.name}, which has no selector either, is older"
                    problem(one, f"is ignored: {older}. Delete one of the two")
                continue
            whole = one
        if wrong := value_problem(one.cert_signer, signer_domain):
            problem(one, f"spec.environmentVariables.{CERT_SIGNER}: {wrong}")
        signer = signer_of(one.cert_signer, signer_domain)
        if signer is not None and (one is whole or signer not in signers):
            signers[signer] = _name(one)
    speaker = whole or first or next(iter(ordered), None)
    return Claims(
        whole=signer_of(whole.cert_signer, signer_domain) if whole is not None else None,
        signers=signers,
        speaker=_name(speaker) if speaker is not None else None,
        since=from_rfc3339(whole.metadata.creation_timestamp) if whole is not None else None,
        problems=capped([text for texts in told.values() for text in texts]),
        malformed=whole.cert_signer if whole is not None and value_problem(whole.cert_signer, signer_domain) else "",
        told={name: tuple(texts) for name, texts in told.items()},
    )


def _age(one: ProxyConfig) -> tuple[datetime, str]:
    return from_rfc3339(one.metadata.creation_timestamp) or _BEGINNING, one.metadata.name


def _name(one: ProxyConfig) -> ProxyConfigName:
    return ProxyConfigName(one.metadata.name, one.metadata.uid)


def _named(one: ProxyConfig, problem: str) -> str:
    return f"ProxyConfig {one.metadata.namespace}/{one.metadata.name}: {problem}"
