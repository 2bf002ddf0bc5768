"""CAs that are to be injected: is anybody there who does it, only one, and with all that it needs. Pure."""

from collections.abc import Iterator

from signer.api.injectable import ASKING
from signer.api.text import some
from signer.commands.checks.facts import AGAIN, Facts, Finding, at, name_of, namespace_of, runs
from signer.commands.live import Json
from signer.injector.asked import Defect, asked_for
from signer.settings.values import CA_INJECTOR

_INJECTOR = "mesh-signer-ca-injector"
_SOURCES = "casources"
# Of cert-manager's chart.
_NAME = "app.kubernetes.io/name"
_POLICY = "ca-injector.mesh-signer.dev"


def check_injection(facts: Facts) -> Iterator[Finding]:
    """Whether what asks for a CA by cert-manager's annotations gets it."""
    for listing in (facts.injectables, facts.crds):
        if listing.problem:
            yield Finding(
                "unknown",
                "ca-injection",
                f"who asks for a CA was not checked: {listing.problem}",
                code="InjectionNotChecked",
            )
    asking = [one for one in (*facts.injectables.items, *facts.crds.items) if _annotations(one)]
    if facts.deployments.problem:
        return  # told by check_ourselves
    available = [one for one in facts.deployments.items if at(one, "status", "availableReplicas")]
    ours = [one for one in available if name_of(one) == _INJECTOR or runs(one, CA_INJECTOR)]
    theirs = [one for one in available if at(one, "spec", "template", "metadata", "labels", _NAME) == "cainjector"]
    if asking and not ours and not theirs:
        count = "one object asks" if len(asking) == 1 else f"{len(asking)} objects ask"
        text = f"{count} for a CA by cert-manager's annotations, and no CA injector runs: caBundle stays as it is"
        mend = "add manifests/components/ca-injector, see docs/ca-injector.md"
        yield Finding("warning", "ca-injection", text, some(map(_named, asking)), mend, code="InjectorMissing")
    if ours and theirs:
        text = f"cert-manager's cainjector runs too ({_where(theirs[0])}): while it does, ours injects nothing"
        yield Finding(
            "warning",
            "ca-injection",
            text,
            _where(ours[0]),
            "leave manifests/components/ca-injector out of mesh-signer, or remove the Deployment cert-manager-cainjector",
            code="InjectorTwice",
        )
    if ours and not theirs and not any(runs(one, _SOURCES) for one in available):
        text = f"the CA injector gets no answers: no Deployment of ours runs the controller {_SOURCES}"
        yield Finding(
            "error",
            "ca-injection",
            text,
            _where(ours[0]),
            f"add {_SOURCES} to the controllers' --controllers",
            code="InjectorUnanswered",
        )
    if ours and not _bound(facts):
        text = (
            f"the admission policy {_POLICY} is missing or not bound: the CA injector's account may change any webhook"
        )
        where = f"ValidatingAdmissionPolicy {_POLICY}"
        yield Finding(
            "error",
            "ca-injection",
            text,
            where,
            AGAIN,
            code="InjectorUnguarded",
        )
    for one in asking if ours else ():
        asked = asked_for(_annotations(one))
        if isinstance(asked, Defect):
            yield Finding(
                "warning",
                "ca-injection",
                asked.message,
                _named(one),
                "correct the annotation",
                code="InjectionAnnotation",
            )


def _annotations(obj: Json) -> dict[str, str]:
    found = at(obj, "metadata", "annotations")
    found = found if isinstance(found, dict) else {}
    asked = {name: str(found[name]) for name in ASKING if found.get(name)}
    return asked if asked_for(asked) is not None else {}


def _bound(facts: Facts) -> bool:
    if facts.admission_policies.problem or facts.admission_bindings.problem:
        return True  # told by check_admission
    bound = any(at(one, "spec", "policyName") == _POLICY for one in facts.admission_bindings.items)
    return bound and any(name_of(one) == _POLICY for one in facts.admission_policies.items)


def _named(obj: Json) -> str:
    return f"{obj.get('kind', 'CustomResourceDefinition')} {name_of(obj)}"


def _where(deployment: Json) -> str:
    return f"Deployment {namespace_of(deployment)}/{name_of(deployment)}"
