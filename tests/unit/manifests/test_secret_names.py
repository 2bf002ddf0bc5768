"""Which Secrets others read for more than a certificate: the wall of the controllers and the admission policy say the same."""

import re
from pathlib import Path

import pytest
import yaml

from signer.edge.reserved import READ_PREFIXES, READ_SUFFIXES, RESERVED, read_by_istio, reserved_name

POLICY = Path("manifests/base/admission-controllers.yaml")

# What reads it: istiod (pilot/pkg/bootstrap, security/pkg/pki/ca, pilot/pkg/credentials/kube) and ztunnel; istioctl's
# remote secrets; kube-controller-manager; Helm.
READ = (
    "cacerts",
    "external-ca-cert",
    "istio-ca-root-cert",
    "istio-ca-secret",
    "istio-kubeconfig",
    "istio-ztunnel",
    "istiod-tls",
    "gateway-cacert",
    "istio-remote-secret-west",
    "bootstrap-token-abcdef",
    "sh.helm.release.v1.istiod.v9",
)


def expression() -> str:
    policy = next(one for one in yaml.safe_load_all(POLICY.read_text("utf-8")) if "variables" in one["spec"])
    return str(next(one["expression"] for one in policy["spec"]["variables"] if one["name"] == "special"))


def test_one_list() -> None:
    """Names, beginnings and ends are those of signer/edge/reserved.py, each of them."""
    text = expression()
    listed = re.search(r"n in \[([^\]]*)\]", text)
    assert listed is not None
    assert set(re.findall(r"'([^']+)'", listed.group(1))) == RESERVED
    assert set(re.findall(r"startsWith\('([^']+)'\)", text)) == set(READ_PREFIXES)
    assert set(re.findall(r"endsWith\('([^']+)'\)", text)) == set(READ_SUFFIXES)


@pytest.mark.parametrize("name", READ)
def test_what_is_read(name: str) -> None:
    """Each Secret that Istio, Kubernetes or Helm reads by its name is on the list, and no gateway's certificate goes there."""
    assert read_by_istio(name)
    assert reserved_name(name) is not None


def test_other_names() -> None:
    """A name that only resembles one is a name like others."""
    assert not any(map(read_by_istio, ("cacert", "my-cacerts", "istiod", "x-remote-secret-a", "shop-tls")))
