"""Pods: core/v1. Each who asks for them reads a few fields of its own."""

from signer.kube.resource import Resource

PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
