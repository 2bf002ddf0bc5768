"""Which Issuers of tenants have DNS records written by credentials that are not theirs: only by an EdgePolicy's word. Pure.

Before the word was needed such an Issuer may have worked; its author sees why it stopped in a Challenge, an administrator here.
"""

from collections.abc import Iterator

from signer.api.acmeissuer import read_acme
from signer.commands.checks.facts import Facts, Finding, at
from signer.edge.issuers.dns01_spec import Dns01, own_credentials, read_dns01

_CHECK, _CODE = "DNS credentials", "IssuerOnLentCredentials"


def check_lent(facts: Facts) -> Iterator[Finding]:
    """Each solver of a namespaced Issuer that writes by External-DNS, a webhook or unsigned updates."""
    for ref, state in sorted(facts.mesh.issuers.items()):
        spec, problem = read_acme(state.issuer)
        if state.kind != "acme" or problem or not ref.namespace:
            continue
        for index, solver in enumerate(spec.solvers):
            place = f"spec.acme.solvers[{index}].dns01"
            found = read_dns01(at(solver, "dns01"), place, cluster_wide=False)
            if not isinstance(found, Dns01) or own_credentials(found.provider):
                continue
            text = f"{ref} has records written by credentials that are not its namespace's own, for an EdgePolicy's hosts alone"
            mend = "use a ClusterIssuer, or grant its namespace the hosts by an EdgePolicy"
            yield Finding("note", _CHECK, text, f"{ref}: {place}", mend, code=_CODE)
