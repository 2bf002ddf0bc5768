"""Reflectors that a test follows, and their codec."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from signer.kube.encoding.protobuf import scan, text
from signer.kube.resource import Resource

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)


class Meta(msgspec.Struct, rename="camel", frozen=True):
    name: str
    namespace: str = ""
    resource_version: str = ""


class Seen(msgspec.Struct, frozen=True):
    """An object as far as these tests look at it."""

    metadata: Meta


def from_protobuf(raw: bytes) -> Seen:
    meta = {"name": "", "namespace": "", "resource_version": ""}
    names = {0x0A: "name", 0x1A: "namespace", 0x32: "resource_version"}
    for tag, a, b in scan(raw):
        if tag == 0x0A:
            for inner, c, d in scan(raw, a, b):
                if inner in names:
                    meta[names[inner]] = text(raw, c, d)
    return Seen(Meta(**meta))


async def until(ready: Callable[[], object], what: str, seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not ready():
            assert what
            await asyncio.sleep(0.02)


def config_map(name: str, namespace: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"test": "kube"}}, "data": data}
