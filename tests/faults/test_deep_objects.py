"""Objects that are nested as deep as the API server takes them: both processes live, name them, and go on with the others."""

import json
from collections.abc import Callable

import pytest

from signer.cli import main
from signer.kube.encoding.depth import DEEPEST, TOO_DEEP
from tests.faults.conftest import Start
from tests.faults.large import KINDS, Filling
from tests.faults.test_large_objects import both, definitions, honest, tenant
from tests.integration.hot_path import Place
from tests.localmesh import LocalCluster
from tests.localmesh.signer import SignerProcess

__all__ = ["definitions", "honest", "tenant"]

MOST = 9_980
"""Levels of what makes an object deep; the API server takes 10,000 for all of it."""
READ_WHOLE = ("Secret", "Certificate", "Ingress", "ProxyConfig", "Issuer")
ACME = {"server": "https://a.example/dir", "privateKeySecretRef": {"name": "k"}}


def fields(depth: int) -> str:
    """What somebody claims to have written of an object."""
    return '{"f:a":' * depth + "{}" + "}" * depth


def managed(depth: int, api_version: str) -> str:
    """metadata.managedFields, so deep: of any kind at all."""
    entry = f'"manager":"x","operation":"Update","apiVersion":"{api_version}","fieldsType":"FieldsV1"'
    return f'"managedFields":[{{{entry},"fieldsV1":{fields(depth)}}}]'


def deep(name: str, kind: str, namespace: str, depth: int) -> str:
    """One object of a kind of KINDS, so deep by its managedFields."""
    made = KINDS[kind].body(Filling(text="x"), namespace, name)
    made["metadata"]["managedFields"] = "@"
    return json.dumps(made).replace('"managedFields": "@"', managed(depth, KINDS[kind].api_version))


def deep_issuer(name: str, namespace: str, depth: int) -> str:
    """An Issuer, so deep by a field that takes anything."""
    config = "[" * depth + "]" * depth
    solver = f'{{"dns01":{{"webhook":{{"groupName":"g","solverName":"s","config":{config}}}}}}}'
    spec = f'"spec":{{"acme":{{{json.dumps(ACME)[1:-1]},"solvers":[{solver}]}}}}'
    meta = f'"metadata":{{"name":"{name}","namespace":"{namespace}"}}'
    return f'{{"apiVersion":"cert-manager.io/v1","kind":"Issuer",{meta},{spec}}}'


def write(place: Place, namespace: str, prefix: str) -> list[tuple[str, str]]:
    """Write some of each kind, and give kinds and names; none of them is refused."""
    found: list[tuple[str, str]] = []
    # The log tells what differs in digits once, and of one kind 20 lines a minute.
    for letter, depth in zip("abd", (DEEPEST + 1, 3_000, MOST), strict=True):
        for kind in ("", *READ_WHOLE):
            name = f"{prefix}-{letter}-{kind.lower() or 'solver'}"
            body = deep(name, kind, namespace, depth) if kind else deep_issuer(name, namespace, depth)
            found.append((kind or "Issuer", name))
            place.api.call("POST", KINDS[kind or "Issuer"].where(namespace), body.encode())
    return found


@pytest.mark.usefixtures("definitions")
def test_deep_objects(
    start: Start,
    breakable: LocalCluster,
    place: Place,
    tenant: str,
    honest: Callable[[], None],
    issuer: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Written while both processes run, and there when they start: both work, each object is named, and commands find no fault of ours."""
    processes = both(start, breakable)
    ids = [one.pid for one in processes]
    names = write(place, tenant, "deep")

    def works(which: tuple[SignerProcess, SignerProcess]) -> None:
        place.issue(issuer)
        honest()
        unnamed = {(kind, name) for kind, name in names}

        def named() -> bool:
            logs = "".join(one.log for one in which)
            events = place.api.get(f"/api/v1/namespaces/{tenant}/events")["items"]
            told = {one["involvedObject"]["name"] for one in events if TOO_DEEP in one.get("message", "")}
            for kind, name in [*unnamed]:
                if (
                    name in told
                    or f"{tenant}/{name} cannot be read: {TOO_DEEP}" in logs
                    or f"ProxyConfig {tenant}/{name}: spec: {TOO_DEEP}" in logs
                    or _says_so(place, tenant, kind, name)
                ):
                    unnamed.discard((kind, name))
            return not unnamed

        try:
            place.until("each object is named", named)
        finally:
            print("nobody names", sorted(unnamed))

    works(processes)
    assert [one.pid for one in processes] == ids
    for one in processes:
        one.stop()
    again = both(start, breakable)
    works(again)
    status = main(["doctor", f"--kubeconfig={breakable.kubeconfig()}", "-o", "json"])
    written = capfd.readouterr()
    assert status in (0, 1), written
    assert "fault of mesh-signer's own" not in written.err
    main(["status", f"--kubeconfig={breakable.kubeconfig()}"])
    written = capfd.readouterr()
    assert "fault of mesh-signer's own" not in written.err
    assert f"Certificate {tenant}/deep-d-certificate cannot be read: {TOO_DEEP}" in written.err


def _says_so(place: Place, namespace: str, kind: str, name: str) -> bool:
    """Whether it has a condition that says so; an Api of ours cannot read what is that deep, so the text is searched."""
    return TOO_DEEP in place.api.text(f"{KINDS[kind].where(namespace)}/{name}")
