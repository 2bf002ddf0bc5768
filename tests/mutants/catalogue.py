"""All planted faults, in the order of the path of a request."""

from tests.mutants.faults import (
    acme,
    api,
    authorities,
    bridges,
    certificates,
    commands,
    csr,
    dns,
    gateways,
    http01,
    injection,
    issuing,
    kube,
    orders,
    pods,
    requests,
    telling,
    tenancy,
)
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *kube.MUTANTS,
    *api.MUTANTS,
    *csr.MUTANTS,
    *requests.MUTANTS,
    *pods.MUTANTS,
    *tenancy.MUTANTS,
    *bridges.MUTANTS,
    *authorities.MUTANTS,
    *issuing.MUTANTS,
    *certificates.MUTANTS,
    *acme.MUTANTS,
    *dns.MUTANTS,
    *http01.MUTANTS,
    *orders.MUTANTS,
    *gateways.MUTANTS,
    *injection.MUTANTS,
    *telling.MUTANTS,
    *commands.MUTANTS,
)
