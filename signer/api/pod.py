"""Pods: core/v1, and what a Pod's certificate rests on. Each who asks for them reads a few fields of its own."""

from datetime import datetime

import msgspec

from signer.api.meta import ObjectMeta
from signer.kube.resource import Resource

PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True)


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Where a Pod runs ("" while it is not scheduled), and as whom."""

    node_name: str = ""
    service_account_name: str = ""


class PodStatus(msgspec.Struct, frozen=True):
    """How far a Pod is: Pending, Running, Succeeded, Failed, Unknown."""

    phase: str = ""


class Pod(msgspec.Struct, frozen=True):
    """The fields of a Pod that its certificate rests on."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class Surroundings(msgspec.Struct, frozen=True):
    """What was there when a certificate was asked for, read live: None and "" for what was not. `at` is when, UTC."""

    pod: Pod | None
    service_account_uid: str
    node_uid: str
    at: datetime
