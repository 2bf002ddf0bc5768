"""Admission policies and their bindings: admissionregistration.k8s.io/v1. Values only.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/, and mutating-admission-policy, which
is v1 from Kubernetes 1.36 on.
"""

from signer.kube.resource import Resource

_GROUP = "admissionregistration.k8s.io"
VALIDATING_POLICIES = Resource(
    _GROUP, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
VALIDATING_BINDINGS = Resource(
    _GROUP, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)
MUTATING_POLICIES = Resource(_GROUP, "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", namespaced=False)
MUTATING_BINDINGS = Resource(
    _GROUP, "v1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", namespaced=False
)
