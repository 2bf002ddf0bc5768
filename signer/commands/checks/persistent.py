"""Which records are to be written for good, for issuers that prove hosts by dns-persist-01. Pure.

The account's URL stands in the issuer's status, and nobody should have to put the record together by hand.
"""

from collections.abc import Iterator

from signer.api.acmeissuer import read_acme
from signer.commands.checks.facts import Facts, Finding, at
from signer.edge.dns01.persist import persistent_name, persistent_record
from signer.edge.issuers.dns01_spec import Dns01, Persistent, read_dns01

_CHECK, _CODE = "dns-persist-01", "PersistentRecord"


def check_persistent(facts: Facts) -> Iterator[Finding]:
    """The record of each account at each CA that an issuer's solver names; a note, as nothing is wrong."""
    for ref, state in sorted(facts.mesh.issuers.items()):
        spec, problem = read_acme(state.issuer)
        if state.kind != "acme" or problem:
            continue
        account = at(state.issuer.raw_status, "acme", "uri")
        for index, solver in enumerate(spec.solvers):
            place = f"spec.acme.solvers[{index}].dns01"
            found = read_dns01(at(solver, "dns01"), place, cluster_wide=not ref.namespace)
            if not isinstance(found, Dns01) or not isinstance(found.provider, Persistent):
                continue
            if not isinstance(account, str) or not account:
                text = f"{ref} proves hosts by a record that stands for good, and has no account yet that it could name"
                yield Finding("note", _CHECK, text, f"{ref}: {place}", code=_CODE)
                continue
            record = persistent_record(found.provider.issuer, account, wildcard=True)
            name = persistent_name("HOST")
            text = f'{ref} proves hosts by a record that is written once: TXT {name.replace("host", "HOST")} "{record}"'
            yield Finding(
                "note", _CHECK, f"{text}; without its policy it proves no wildcard", f"{ref}: {place}", code=_CODE
            )
