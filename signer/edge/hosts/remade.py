"""Which namespace an EdgePolicy means by a name, when it is first written down. Pure.

A name alone may mean two: one that is gone, and one that was made again, maybe by somebody else. What the earlier one has is
handed on by the policy (decide.py, `given_back`), so a doubt is decided for the earlier one, and an admin ends it.
"""

from collections.abc import Iterable
from datetime import datetime

from signer.edge.hosts.decide import Asker, Claim
from signer.edge.hosts.policy import HostPolicy


def whom_it_means(
    policy: HostPolicy, written: datetime | None, asker: Asker, made: datetime | None, claims: Iterable[Claim]
) -> str:
    """The uid to record for the name of the namespace `asker`: its own, unless the policy may have been written for another.

    That is so where an earlier namespace of the name has hosts under the policy, and the namespace of now was not `made` before
    the policy was `written`. `claims`: those of the name, of whichever namespace.
    """
    if written is not None and made is not None and made < written:
        return asker.uid
    earlier = [
        (one.made.timestamp() if one.made is not None else 0.0, one.namespace_uid)
        for one in claims
        if not one.problem and one.namespace == asker.namespace and one.namespace_uid != asker.uid
        if policy.suffix_of(one.host)
    ]
    return max(earlier, default=(0.0, asker.uid))[1]
