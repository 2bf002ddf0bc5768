"""The answer that ends with its root: each certificate signed by the next, or nothing is answered."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from issuers.authority import Authority
from issuers.certificate import sign, template_for
from issuers.errors import SigningFailed
from issuers.request import read_request
from issuers.whole_chain import with_root
from tests.pki import CA, workload_csr
from tests.unit.csr.crafted import NOW, USAGES, loaded

KINDS = ["p256", "p384", "rsa", "ed25519"]


def below(depth: int, kind: str, name: str = "root") -> Authority:
    """A CA with so many intermediates between it and its root."""
    made = CA(name, kind=kind, now=NOW)
    for number in range(depth):
        made = made.intermediate(f"{name}-{number}")
    return loaded(made)


def answered(authority: Authority) -> bytes:
    request = read_request(workload_csr("foo"))
    template = template_for(request, usages=USAGES, duration=timedelta(hours=1), is_ca=False, now=NOW)
    return with_root(sign(template, authority, serial=7), authority)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3), st.sampled_from(KINDS))
def test_each_is_signed_by_the_next_and_the_last_is_the_root(depth: int, kind: str) -> None:
    """Whatever stands between, a reader who trusts the last certificate verifies the first one."""
    authority = below(depth, kind)
    chain = x509.load_pem_x509_certificates(answered(authority))
    assert len(chain) == depth + 2
    for one, above in pairwise(chain):
        one.verify_directly_issued_by(above)
    assert chain[-1].subject == chain[-1].issuer


OTHER = below(1, "p256", "other")
GOOD = below(1, "p256")
assert OTHER.root_pem is not None
WRONG = {
    "another tenant's root": replace(GOOD, root_pem=OTHER.root_pem, root_key_id=OTHER.root_key_id),
    "another tenant's chain": replace(GOOD, chain_pem=OTHER.chain_pem, root_pem=OTHER.root_pem),
    "a root that is not the one on record": replace(GOOD, root_key_id=OTHER.root_key_id),
    "no root": replace(GOOD, root_pem=None),
    "its own certificate for a root": replace(GOOD, root_pem=GOOD.certificate_pem),
    "a link missing": replace(below(2, "p256"), chain_pem=below(2, "p256").certificate_pem),
    "what is no certificate": replace(GOOD, root_pem=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_chain_that_is_not_one_tenants_is_not_answered(case: str) -> None:
    """Each of these istiod would pass on, and the workload would trust what comes last."""
    with pytest.raises(SigningFailed):
        answered(WRONG[case])
