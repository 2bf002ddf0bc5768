"""Credentials and rights that are taken away and come back: the signer waits for them, and forgets nothing."""

from pathlib import Path

import yaml

from tests.faults.conftest import Start
from tests.integration.hot_path import Place, settle
from tests.localmesh import LocalCluster
from tests.localmesh.signer import NAMESPACE, SIGNER_ACCOUNT, SignerProcess

ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/mesh-signer"


def token(cluster: LocalCluster) -> str:
    """A new token of the signer's ServiceAccount."""
    return cluster.kubectl("create", "token", SIGNER_ACCOUNT, "--namespace", NAMESPACE).strip()


def with_token_file(original: Path, token_file: Path, target: Path) -> Path:
    """A copy of a kubeconfig that names a token file instead of the token, as a Pod's own configuration does."""
    document = yaml.safe_load(original.read_text())
    document["users"][0]["user"] = {"tokenFile": str(token_file)}
    target.write_text(yaml.safe_dump(document))
    return target


def test_token_rotated(
    breakable: LocalCluster, place: Place, issuer: str, start: Start, account: Path, tmp_path: Path
) -> None:
    """A token that is no longer valid gives 401s; the new one in the same file is taken up without a restart."""
    file = tmp_path / "token"
    file.write_text(token(breakable))
    signer = start(kubeconfig=with_token_file(account, file, tmp_path / "kubeconfig"))
    place.issue(issuer)
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{SIGNER_ACCOUNT}"
    body = place.api.get(path)
    place.api.delete(path)  # the tokens of the old one end with it, as they do when they expire
    body["metadata"] = {key: body["metadata"][key] for key in ("name", "namespace", "labels")}
    place.api.post(path.rpartition("/")[0], body)
    settle(lambda: signer.metric("mesh_signer_api_errors_total", code="401") > 0, "a 401")
    requests = [place.ask(issuer) for _ in range(5)]
    assert signer.alive()[0]
    file.write_text(token(breakable))
    for name in requests:
        place.issued(name)
    # The kubeconfig that the other tests share has a token of the old account.
    account.write_bytes(breakable.service_account_kubeconfig(NAMESPACE, SIGNER_ACCOUNT).read_bytes())


def outcomes(signer: SignerProcess) -> list[str]:
    """The outcomes in the audit log, in order."""
    return [line["outcome"] for line in signer.audit() if line["audit"] == "outcome"]


def test_right_to_sign_missing(place: Place, issuer: str, start: Start) -> None:
    """Without the verb `sign` no answer can be stored: the log says so, requests wait, and go on when it is given."""
    role = place.api.get(ROLE)
    # The rule of mesh-signer.dev with the same verb is for the admission policies, which are not there.
    rules = [
        rule for rule in role["rules"] if rule["verbs"] != ["sign"] or "certificates.k8s.io" not in rule["apiGroups"]
    ]
    assert len(rules) == len(role["rules"]) - 1
    place.api.patch(ROLE, {"rules": rules})
    try:
        signer = start()
        requests = [place.ask(issuer) for _ in range(5)]
        settle(lambda: signer.metric("mesh_signer_api_errors_total", code="403") >= 5, "403s")
        settle(lambda: "sign" in signer.log and "forbidden" in signer.log.lower(), "a line in the log")
        settle(lambda: outcomes(signer) == ["unknown"] * 5, "five answers without a known outcome")
    finally:
        place.api.patch(ROLE, {"rules": role["rules"]})
    for name in requests:
        place.issued(name)
    settle(lambda: outcomes(signer) == ["unknown"] * 5 + ["stored"] * 5, "five answers stored")


def test_right_to_watch_missing(breakable: LocalCluster, place: Place, issuer: str, start: Start) -> None:
    """Without the right to see requests the signer is alive and not ready, says why, and begins when it is given."""
    role = place.api.get(ROLE)
    rules = [rule for rule in role["rules"] if rule["resources"] != ["certificatesigningrequests"]]
    place.api.patch(ROLE, {"rules": rules})
    try:
        signer = start(wait=False)
        name = place.ask(issuer)
        settle(lambda: "forbidden" in signer.ready()[1], "the reason in /readyz")
        assert signer.alive()[0]
        assert not signer.ready()[0]
    finally:
        place.api.patch(ROLE, {"rules": role["rules"]})
    place.issued(name)
    settle(lambda: signer.ready()[0], "readiness")
    breakable.check()


def test_secrets_of_cas_missing(place: Place, issuer: str, start: Start) -> None:
    """Without the right to read CA Secrets the signer starts, its issuers say why, and requests wait until it is given."""
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/mesh-signer"
    role = place.api.get(path)
    place.api.patch(path, {"rules": [rule for rule in role["rules"] if rule["resources"] != ["secrets"]]})
    try:
        signer = start()
        name = place.ask(issuer)
        assert "forbidden" in place.event(name, "IssuerNotReady")["message"]
    finally:
        place.api.patch(path, {"rules": role["rules"]})
    place.issued(name)
    assert isinstance(signer, SignerProcess)
