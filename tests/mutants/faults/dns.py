"""Planted faults of DNS-01: where a record is written, who is asked about it, and what is believed."""

from tests.mutants.mutant import Mutant

_QUERIES = "signer/edge/dns01/queries.py"
_DNS01 = "signer/edge/dns01/record.py"
_SPEC = "signer/edge/issuers/dns01_spec.py"
_HOSTILE = ("tests/unit/edge/dns01/test_queries.py",)
_PURE = ("tests/unit/edge/dns01/test_record.py",)

MUTANTS = (
    Mutant(
        "the CA is told as soon as one server of the zone has the value",
        _DNS01,
        "bool(answers) and all(set(wanted)",
        "bool(answers) and any(set(wanted)",
        _PURE,
    ),
    Mutant(
        "a zone without servers counts as one in which all have the value",
        _DNS01,
        "bool(wanted) and bool(answers) and all(",
        "bool(wanted) and all(",
        _PURE,
    ),
    Mutant(
        "a record for External-DNS that is somebody else's is taken for ours",
        _DNS01,
        "    if any(labels.get(key) != value for key, value in PART_OF.items()):\n        return None\n",
        "",
        _PURE,
    ),
    Mutant(
        "a server names any zone as the one to be changed",
        _DNS01,
        "return clean if fits and is_name(clean) else None",
        "return clean if is_name(clean) else None",
        _PURE,
    ),
    Mutant(
        "a delegation may hide the addresses of somebody's host",
        _DNS01,
        'return delegated_to != name and not delegated_to.startswith("_")',
        "return False",
        _PURE,
    ),
    Mutant(
        "a value counts from a server that does not have the zone",
        _QUERIES,
        "if own and not answer.flags & dns.flags.AA:",
        "if False and not answer.flags & dns.flags.AA:",
        _HOSTILE,
    ),
    Mutant(
        "a value counts that stands under another name",
        _QUERIES,
        "if rrset.rdtype == dns.rdatatype.TXT and _text(rrset.name) == name",
        "if rrset.rdtype == dns.rdatatype.TXT",
        _HOSTILE,
    ),
    Mutant(
        "servers of a tenant's zone are asked at whatever address they have",
        _QUERIES,
        "asked = [one for one in addresses if one not in refused][:_MAX_ADDRESSES]",
        "asked = list(addresses)[:_MAX_ADDRESSES]",
        _HOSTILE,
    ),
    Mutant(
        "a tenant's name server is dialled at whatever address it has",
        "signer/edge/dns01/rfc2136.py",
        "asked = [one for one in found if one not in refused][:_MAX_ADDRESSES]",
        "asked = list(found)[:_MAX_ADDRESSES]",
        _HOSTILE,
    ),
    Mutant(
        "a zone may have any number of servers, and each is asked",
        _QUERIES,
        "if not found or len(found) > MAX_SERVERS:",
        "if not found:",
        _HOSTILE,
    ),
    Mutant(
        "an acme-dns password may end its header and begin another",
        "signer/edge/dns01/acme_dns.py",
        're.compile(r"[!-~]{1,256}", re.ASCII)',
        're.compile(r"(?s:.{1,256})")',
        ("tests/unit/edge/dns01/test_acme_dns.py",),
    ),
    Mutant(
        "an acme-dns account is that of any host whose name ends alike",
        "signer/edge/dns01/acme_dns.py",
        "if apex(name) == wanted)",
        "if apex(name).endswith(wanted[-11:]))",
        ("tests/unit/edge/dns01/test_acme_dns.py",),
    ),
    Mutant(
        "the seal of a note does not depend on the TSIG secret",
        "signer/edge/dns01/record.py",
        "return hmac.new(secret, ",
        'return hmac.new(b"", ',
        _HOSTILE,
    ),
    Mutant(
        "an Issuer's author has us write in a group of our own",
        _SPEC,
        '_OTHERS = ("cert-manager.io", "acme.cert-manager.io", "mesh-signer.dev")',
        '_OTHERS = ("cert-manager.io", "acme.cert-manager.io")',
        ("tests/unit/edge/issuers/test_dns01_spec.py",),
    ),
    Mutant(
        "an Issuer's credentials are read in the cluster resource namespace",
        "signer/edge/dns01/writers.py",
        "return ref.namespace or self._namespace",
        "return self._namespace",
        ("tests/unit/edge/dns01/test_writers.py",),
    ),
    Mutant(
        "a value that another adds meanwhile is lost at Azure",
        "signer/edge/dns01/apis/azure.py",
        '{"If-None-Match": "*"} if found is None else {"If-Match": found.etag}',
        '{"If-None-Match": "*"} if found is None else {}',
        ("tests/unit/edge/dns01/apis/test_steps.py",),
    ),
    Mutant(
        "a DNS product's credential may end its header and begin another",
        "signer/edge/dns01/apis/steps.py",
        're.compile(r"[!-~]{1,4096}", re.ASCII)',
        're.compile(r"(?s:.{1,4096})")',
        ("tests/unit/edge/dns01/apis/test_steps.py",),
    ),
    Mutant(
        "changes of one record are made at once",
        "signer/edge/dns01/apis/caller.py",
        "        async with lock:\n",
        "        if lock is not None:\n",
        ("tests/unit/edge/dns01/apis/test_caller.py",),
    ),
    Mutant(
        "an owner's word ends the pauses of failures to come",
        "signer/api/retry.py",
        "failed_at < asked <= now",
        "asked <= now",
        ("tests/unit/api/test_retry.py",),
    ),
    Mutant(
        "an owner's word ends what a CA says",
        "signer/edge/orders/history.py",
        "if self.attempts.reason != RATE_LIMITED and ends_pause(",
        "if ends_pause(",
        ("tests/unit/edge/orders/test_gate.py",),
    ),
    Mutant(
        "a tenant has records made in a namespace of its choice",
        _SPEC,
        "    if namespace and not cluster_wide:\n",
        "    if False and not cluster_wide:\n",
        ("tests/unit/edge/issuers/test_dns01_spec.py",),
    ),
    Mutant(
        "an alias that a wildcard makes up is taken for a delegation",
        _QUERIES,
        "return None if made_up else target",
        "return target",
        _HOSTILE,
    ),
    Mutant(
        "the zone of where an alias leads is taken for the name's own",
        _QUERIES,
        "    if is_alias(message, name):\n        return None",
        "    if False:\n        return None",
        _HOSTILE,
    ),
    Mutant(
        "the zone is asked without the key that chooses the view",
        "signer/edge/dns01/rfc2136.py",
        "                query.use_tsig(self._key)\n",
        "                pass\n",
        _HOSTILE,
    ),
)
