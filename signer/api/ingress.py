"""Ingresses of networking.k8s.io/v1, as far as public certificates go.

Pure: reading never fails; what cannot be read is told in `problem`.
"""

from collections.abc import Mapping

import msgspec

from signer.api.parts import HasSpec
from signer.kube.resource import Resource

INGRESS_CLASS = "istio"
INGRESS_SELECTOR: Mapping[str, str] = {"istio": "ingressgateway"}
"""Istio's defaults: meshConfig.ingressClass and ingressSelector."""

INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress", namespaced=True)
CLASS_ANNOTATION = "kubernetes.io/ingress.class"


class IngressTLS(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.tls[]: without hosts it is for those of the rules."""

    hosts: tuple[str, ...] = ()
    secret_name: str = ""


class IngressRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.rules[]: an empty host is every host."""

    host: str = ""


class IngressSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec, as far as we read it."""

    ingress_class_name: str = ""
    rules: tuple[IngressRule, ...] = ()
    tls: tuple[IngressTLS, ...] = ()


class Ingress(HasSpec[IngressSpec], frozen=True, kw_only=True, rename="camel", dict=True):
    """An Ingress."""

    spec_type = IngressSpec

    @property
    def class_name(self) -> str:
        """The class, by field or by the older annotation."""
        return self.spec.ingress_class_name or self.metadata.annotations.get(CLASS_ANNOTATION, "")
