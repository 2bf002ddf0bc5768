"""The commands never contradict the signer: what it does with a request is what they say of it, on any cluster.

The signer's side is tests/unit/commands/replay.py: its controllers' steps, which store and read as they do.
"""

import base64
import functools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.api.certificatesigningrequest import read_content
from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.certificates.requests import steps
from signer.commands.explanations.certificaterequest import AskRequester, explain_request
from signer.commands.explanations.csr import NOTHING_FOUND_OUT, Explanation
from signer.commands.explanations.requests import Asked, content_of, read_certificate_request
from signer.commands.tenancies.holders import FREE, GRANTED, KEPT, tenancies
from tests import pki
from tests.examples import examples
from tests.unit.commands.clusters import NAMESPACES, SIGNERS, Cluster, clusters
from tests.unit.commands.explaining import fully
from tests.unit.commands.meshes import mesh, state
from tests.unit.commands.replay import Outcome, answered, answered_request
from tests.unit.csr.crafted import ISTIOD, NOW, USAGES, request
from tests.unit.csr.test_mesh_attacks import ATTACKS
from tests.unit.tenancy.worlds import FOO, binding, world

PLACES = (*NAMESPACES, "nowhere")


@functools.cache
def csr(namespace: str, account: str = "web") -> bytes:
    return pki.workload_csr(namespace, account)


def asked(signer: IssuerRef, pem: bytes, **changes: Any) -> Asked:
    made = content_of(pem, usages=USAGES, expiration_seconds=86400, username=ISTIOD)
    return Asked("a request", signer_name_of(signer), replace(made, created=int(NOW.timestamp()), **changes))


def said(found: Explanation) -> Outcome:
    codes = () if found.verdict == "issue" else tuple(one.code for one in found.reasons)
    return Outcome(found.verdict, codes, found.ends)


@pytest.mark.heavy
@settings(max_examples=examples(60))
@given(clusters(), st.data())
def test_explain(cluster: Cluster, data: st.DataObject) -> None:
    """A request of any user, for any namespace and signer: explain's verdict, reasons and end are the signer's."""
    here = cluster.mesh()
    for _ in range(6):
        signer, place = data.draw(st.sampled_from(SIGNERS)), data.draw(st.sampled_from(PLACES))
        user = data.draw(st.sampled_from([ISTIOD, ISTIOD, ISTIOD, "jane"]))
        account = data.draw(st.sampled_from(["web", "other"]))
        notes = data.draw(st.sampled_from([{}, {}, {"experimental.cert-manager.io/request-is-ca": "true"}]))
        may = data.draw(st.booleans())
        one = asked(signer, csr(place, account), username=user, annotations=notes)
        done = answered(cluster, one.content, signer, may_reference=may)
        assert said(fully(one, signer, here, cluster=cluster, may_reference=may)) == done


@settings(max_examples=examples(50))
@given(clusters(), st.sampled_from(sorted(ATTACKS)), st.sampled_from(SIGNERS))
def test_attacks(cluster: Cluster, attack: str, signer: IssuerRef) -> None:
    """Crafted requests are explained as what the signer refuses them for."""
    one = asked(signer, ATTACKS[attack])
    done = answered(cluster, one.content, signer)
    assert said(fully(one, signer, cluster.mesh(), cluster=cluster)) == done
    assert done.verdict != "issue" or cluster.settings.mode != "enforce"


@pytest.mark.heavy
@given(clusters(), st.data())
def test_certificate_requests(cluster: Cluster, data: st.DataObject) -> None:
    """The same of CertificateRequests, whoever is vouched for as their maker."""
    here = cluster.mesh()
    for _ in range(4):
        signer, place = data.draw(st.sampled_from(SIGNERS)), data.draw(st.sampled_from(NAMESPACES))
        user = data.draw(st.sampled_from(["", "jane", "mallory"]))
        notes = data.draw(st.sampled_from([{}, {"cert-manager.io/private-key-secret-name": "k"}]))
        spec = {
            "request": base64.b64encode(data.draw(st.sampled_from([shop(), csr(place), b"no request"]))).decode(),
            "issuerRef": {"name": signer.name, "kind": signer.kind, "group": "cert-manager.io"},
            "usages": ["server auth"],
            "isCA": data.draw(st.sampled_from([False, False, True])),
            "duration": data.draw(st.sampled_from(["2h", "soon", "1ns"])),
            "username": user,
        }
        approved = {"conditions": [{"type": "Approved", "status": "True"}]}
        metadata = {"name": "r", "namespace": place, "annotations": notes}
        obj = read_certificate_request({"metadata": metadata, "spec": spec, "status": approved})
        vouched = data.draw(st.sampled_from(["", user]))
        found_out, found = NOTHING_FOUND_OUT, None
        while not isinstance(found, Explanation):
            found = explain_request(obj, here, title="r", auto_approve=True, now=NOW, found_out=found_out)
            if isinstance(found, AskRequester):
                found_out = replace(found_out, requester=vouched)
            elif isinstance(found, steps.AskKey):
                found_out = replace(found_out, answers=replace(found_out.answers, key=steps.NoKey()))
        done = answered_request(cluster, obj, requester=vouched)
        assert replace(said(found), until=None) == done


@functools.cache
def shop() -> bytes:
    return pki.csr(dns=["shop.example"])


@pytest.mark.heavy
@settings(max_examples=examples(60))
@given(clusters())
def test_tenants(cluster: Cluster) -> None:
    """What `tenants` says of a namespace and a signer is what the signer answers the best request that it could make."""
    here = cluster.mesh()
    rows = {(row.namespace, row.signer): row for row in tenancies(here, NOW) if row.namespace}
    for (namespace, signer), row in rows.items():
        done = [
            answered(cluster, asked(signer, csr(namespace, account), username=user).content, signer)
            for account in ("web", "other")
            for user in (ISTIOD, "jane")
            if user == ISTIOD or signer in here.world.policies
        ]
        best = min(done, key=lambda one: ("issue", "wait", "refuse").index(one.verdict))
        if row.status in {GRANTED, FREE}:
            assert best.verdict == "issue" or set(best.codes) <= ASIDE, (row, done)
        elif row.enforced and row.status != KEPT:
            assert row.status in {one.codes[0] for one in done}, (row, done)
            assert best.verdict != "issue", (row, done)
        else:
            assert row.status == KEPT or best.verdict == "issue" or set(best.codes) <= ASIDE, (row, done)


# What a request may be refused for, or wait for, that no table of namespaces and signers can tell.
ASIDE = {
    "RequesterNotAllowed", "ServiceAccountNotAllowed", "SecretNotFound", "MissingAnnotation", "NotVerifiable",
}  # fmt: skip


@pytest.mark.heavy
@settings(max_examples=examples(40))
@given(clusters())
def test_tenants_leaves_nobody_out(cluster: Cluster) -> None:
    """Whoever is issued a certificate of a mesh signer has a line, or is counted among those that share the default."""
    here = cluster.mesh()
    rows = {(row.namespace, row.signer) for row in tenancies(here, NOW)}
    for namespace in NAMESPACES:
        for signer in here.world.signers & {one.ref for one in cluster.issuers}:
            done = answered(cluster, asked(signer, csr(namespace)).content, signer)
            if done.verdict == "issue" and cluster.settings.enforces(NOW):
                assert {(namespace, signer), ("", signer)} & rows, (namespace, signer)


@pytest.mark.heavy
@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attacks_on_an_owner(name: str) -> None:
    """Each crafted request for an owned signer is explained as refused, for its contents."""
    here = mesh(world(bindings=(binding(FOO, "foo"),)), issuers=[state(FOO)])
    content = read_content(request(request=ATTACKS[name]))
    found = fully(Asked("a request", signer_name_of(FOO), content), FOO, here)
    assert "UnexpectedContents" in {one.code for one in found.reasons}
