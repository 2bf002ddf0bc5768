"""A restart forgets nothing that keeps the wall up: what is stored says the same as what a process saw, or is stricter."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.authority import Authority, load_authority
from signer.api.issuer import IssuerRef
from signer.api.signerrecord import SignerRecord
from signer.tenancy.decide import decide
from signer.tenancy.grants import Claimable, granted
from signer.tenancy.index import Index
from signer.tenancy.records import (
    MOST_CERTIFICATES,
    Known,
    new_record,
    read_record,
    record_name,
    status_to_write,
)
from signer.tenancy.verdict import Grant, Limits
from signer.tenancy.world import Settings
from tests import pki
from tests.pki import CA
from tests.unit.tenancy.indexed import NOW, mesh, namespace_object, policy, proxy_config
from tests.unit.tenancy.test_which_cas import SERVER, TENANTS, asked

SPACES = ("foo", "bar")
NAMES = ("foo", "team")
OTHER = IssuerRef("ClusterIssuer", "", "other")


def ref(name: str) -> IssuerRef:
    return IssuerRef("ClusterIssuer", "", name)


ROOTS = [CA(f"root {number}", private=pki.key("p256", n=900 + number), now=NOW) for number in range(2)]


def _cas() -> dict[str, Authority]:
    """CAs by name: self-signed ones, and some below roots, with and without what is above them in the Secret."""
    found: dict[str, dict[str, bytes]] = {}
    for number in range(3):
        found[f"self {number}"] = CA(f"ca {number}", private=pki.key("p256", n=910 + number), now=NOW).secret()
    for number, root in enumerate(ROOTS):
        below = CA(f"below {number}", private=pki.key("p256", n=920 + number), parent=root, now=NOW)
        found[f"below {number}"] = below.secret()
        found[f"open {number}"] = below.secret() | {"ca.crt": b""}
        found[f"root {number}"] = root.secret()
    low = CA("lowest", private=pki.key("p256", n=930), parent=CA("ca 0", private=pki.key("p256", n=910), now=NOW))
    found["below self 0"] = {"tls.crt": low.pem, "tls.key": low.key_pem, "ca.crt": b""}
    return {
        name: load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"] or None, now=NOW)
        for name, data in found.items()
    }


CAS = _cas()


class Cluster:
    """What is stored, and one process that saw all of it happen. `lose` drops the writes that are still to be made."""

    def __init__(self) -> None:
        self.at = NOW
        self.config: dict[str, dict[str, str] | None] = {}
        self.policies: dict[str, Any] = {}
        self.cas: dict[str, str] = {}
        self.records: dict[str, SignerRecord] = {}
        self.version = 0
        self.seen = self.process()

    def process(self) -> Index:
        """A process that starts now: all that is stored is read, and then it is ready."""
        index = Index(Settings())
        for space in SPACES:
            index.put_namespace(namespace_object(space))
            index.proxy_configs.put(proxy_config(space, "team" if space == "bar" else "foo"))
        for name, data in self.config.items():
            index.config_maps.put(name, data)
        for obj in self.policies.values():
            index.put_policy(obj)
        for signer, ca in self.cas.items():
            index.put_key(ref(signer), CAS[ca].key_id, CAS[ca].chain)
        for record in self.records.values():
            index.put_record(record)
        index.settle(self.at)
        index.world.unsynced = "; ".join(index.config_maps.unreadable.values())
        index.settle(self.at)
        return index

    def write(self, index: Index, most: int = 99) -> int:
        """Make the writes that this process has to make, so many at most; a create and its status are two."""
        made = 0
        for name in sorted({*NAMES, "other"}):
            signer = ref(name)
            while made < most and not index.world.unsynced:
                status = index.unrecorded(signer, self.at)
                if status is None:
                    break
                made += 1
                self._store(index, signer, status)
        index.settle(self.at)
        return made

    def _store(self, index: Index, signer: IssuerRef, status: dict[str, Any]) -> None:
        self.version += 1
        stored = self.records.get(record_name(signer))
        body = new_record(signer)
        body["metadata"] |= {"uid": record_name(signer), "resourceVersion": str(self.version)}
        if stored is not None:
            body["status"] = {key: value for key, value in status.items() if value is not None}
        made = self.records[record_name(signer)] = msgspec.convert(body, SignerRecord)
        index.put_record(made)
        index.settle(self.at)

    def sign(self, index: Index, signer: IssuerRef) -> None:
        """A CA signs for the mesh: what it rests on is stored before (MeshWatcher.confirm)."""
        while (status := index.unrecorded(signer, self.at)) is not None:  # a create and its status are two writes
            self._store(index, signer, status)


def verdicts(index: Index, now: datetime) -> dict[str, bool]:
    """What a process would let pass, and whom it would make an owner."""
    found: dict[str, bool] = {}
    for ca, authority in CAS.items():
        for what, request, is_ca in (("identity", TENANTS, False), ("ca", SERVER, True), ("server", SERVER, False)):
            verdict = decide(asked(authority, request, is_ca=is_ca), index.world, Limits(), fresh=True, now=now)
            found[f"{what} by {ca}"] = isinstance(verdict, Grant)
    for space in SPACES:
        for name in NAMES:
            owner = granted(index.world, space, ref(name), now=now)
            found[f"{space} becomes the owner of {name}"] = isinstance(owner, Claimable) and not index.world.unsynced
    return found


def no_less_strict(started: Index, saw_all: Index, now: datetime) -> None:
    """Whatever the one that starts lets pass, the one that saw everything lets pass too."""
    allowed, known = verdicts(started, now), verdicts(saw_all, now)
    wrong = [what for what, passes in allowed.items() if passes and not known[what]]
    assert not wrong, wrong


names, cas, config_maps = (
    st.sampled_from(NAMES),
    st.sampled_from(sorted(CAS)),
    st.sampled_from(("istio", "istio-canary")),
)
events = st.lists(
    st.one_of(
        st.tuples(st.just("ca"), st.sampled_from((*NAMES, "other")), cas),
        st.tuples(st.just("ca"), st.sampled_from((*NAMES, "other")), cas),
        st.tuples(st.just("config"), config_maps, st.sets(names), st.sampled_from((None, 0, 1))),
        st.tuples(st.just("break"), config_maps),
        st.tuples(st.just("no config"), config_maps),
        st.tuples(st.just("policy"), st.sampled_from(("p", "q")), names),
        st.tuples(st.just("no policy"), st.sampled_from(("p", "q"))),
        st.tuples(st.just("wait"), st.sampled_from((1, 5, 11))),
        st.tuples(st.just("other replica")),
    ),
    max_size=14,
)


def happen(cluster: Cluster, event: tuple[Any, ...]) -> None:
    index = cluster.seen
    match event:
        case ("ca", name, ca):
            cluster.cas[name] = ca
            index.put_key(ref(name), CAS[ca].key_id, CAS[ca].chain)
        case ("config", name, signers, root):
            pem = ROOTS[root].pem.decode() if root is not None else "x"
            cluster.config[name] = mesh(*sorted(signers), pem=pem)
            index.config_maps.put(name, cluster.config[name])
        case ("break", name):
            cluster.config[name] = {"mesh": "{"}
            index.config_maps.put(name, cluster.config[name])
        case ("no config", name):
            cluster.config.pop(name, None)
            index.config_maps.put(name, None)
        case ("policy", name, signer):
            cluster.policies[name] = policy(name, signer, namespaces={"names": ["foo"]})
            index.put_policy(cluster.policies[name])
        case ("no policy", name):
            cluster.policies.pop(name, None)
            index.remove_policy(name)
        case ("wait", minutes):
            cluster.at += timedelta(minutes=minutes)
        case ("other replica",):
            cluster.write(cluster.process())
            for record in cluster.records.values():
                index.put_record(record)
    index.settle(cluster.at)
    index.world.unsynced = "; ".join(index.config_maps.unreadable.values())
    index.settle(cluster.at)


@pytest.mark.heavy
@given(events)
def test_a_restart_at_any_time(history: list[tuple[Any, ...]]) -> None:
    """For any history, a process that starts now is no less strict than one that saw all of it."""
    cluster = Cluster()
    for event in history:
        happen(cluster, event)
        cluster.write(cluster.seen)
        no_less_strict(cluster.process(), cluster.seen, cluster.at)
        later = cluster.at + timedelta(minutes=5)
        no_less_strict(cluster.process(), cluster.seen, later)


@given(events, st.lists(st.integers(0, 3), min_size=14, max_size=14))
def test_killed_between_two_writes(history: list[tuple[Any, ...]], writes: list[int]) -> None:
    """Killed with writes undone, a process is followed by one that knows every CA that ever signed for the mesh."""
    cluster = Cluster()
    signed: set[tuple[IssuerRef, str]] = set()
    for event, most in zip(history, writes, strict=False):
        happen(cluster, event)
        cluster.write(cluster.seen, most)  # then it is killed
        cluster.seen = cluster.process()
        for name in cluster.cas.keys() & set(NAMES):
            if ref(name) in cluster.seen.world.signers and not cluster.seen.world.unsynced:
                cluster.sign(cluster.seen, ref(name))
                signed.add((ref(name), CAS[cluster.cas[name]].key_id))
        follower = cluster.process().world
        for signer, key_id in signed:
            assert signer not in follower.signers or signer in follower.keys.get(key_id, frozenset())


def test_a_policy_deleted_while_nobody_looked() -> None:
    """A policy that was there when the last process ended, and is gone when the next begins, holds for ten minutes from then."""
    cluster = Cluster()
    happen(cluster, ("config", "istio", {"team"}, None))
    happen(cluster, ("policy", "p", "team"))
    cluster.write(cluster.seen)
    del cluster.policies["p"]
    cluster.at += timedelta(hours=3)
    started = cluster.process()
    assert not verdicts(started, cluster.at)["bar becomes the owner of team"]
    cluster.write(started)
    assert not verdicts(cluster.process(), cluster.at + timedelta(minutes=9))["bar becomes the owner of team"]
    assert verdicts(cluster.process(), cluster.at + timedelta(minutes=11))["bar becomes the owner of team"]


def test_a_policy_that_went_while_nothing_could_be_stored() -> None:
    """A policy that came and went while a mesh config was not readable holds after a restart too, once that can be stored."""
    cluster = Cluster()
    for event in (
        ("break", "istio"),
        ("policy", "q", "foo"),
        ("policy", "q", "team"),
        ("config", "istio", {"foo"}, None),
    ):
        happen(cluster, event)
        cluster.write(cluster.seen)
    assert not verdicts(cluster.process(), cluster.at)["foo becomes the owner of foo"]
    assert verdicts(cluster.process(), cluster.at + timedelta(minutes=11))["foo becomes the owner of foo"]
    assert cluster.write(cluster.seen) == 0


def test_a_former_key() -> None:
    """A key that a mesh CA no longer has is behind the wall after a restart, and so is what is below it."""
    cluster = Cluster()
    happen(cluster, ("config", "istio", {"foo"}, None))
    happen(cluster, ("ca", "foo", "self 0"))
    cluster.write(cluster.seen)
    happen(cluster, ("ca", "foo", "self 1"))
    happen(cluster, ("ca", "other", "below self 0"))
    found = verdicts(cluster.process(), cluster.at)
    assert not found["server by self 0"]
    assert not found["identity by below self 0"]
    assert found["server by below self 0"]
    assert found["server by self 2"]


def test_a_mesh_config_that_went_while_nobody_looked() -> None:
    """A signer of a mesh config that is gone is the mesh's still, until a mesh config can be read that does not name it."""
    cluster = Cluster()
    happen(cluster, ("config", "istio", {"foo"}, None))
    happen(cluster, ("ca", "foo", "self 0"))
    cluster.write(cluster.seen)
    del cluster.config["istio"]
    started = cluster.process()
    assert ref("foo") in started.world.signers
    cluster.config["istio"] = mesh("team")
    assert ref("foo") not in cluster.process().world.signers


def test_what_a_record_holds() -> None:
    """The newest certificates are kept, each once; one that cannot be read, or is named after another signer, says nothing."""
    obj, record, now = None, None, NOW
    chains = [CAS[f"below {number}"].chain for number in (0, 1)]
    assert all(chains)
    status = status_to_write(obj, record, Known(tuple(one for one in chains if one)), now)
    assert status is not None
    assert [one["role"] for one in status["certificates"]] == ["CA", "Above"] * 2
    made = msgspec.convert(
        new_record(ref("foo")) | {"status": {"certificates": status["certificates"] * 40}}, SignerRecord
    )
    read = read_record(made)
    assert read is not None
    assert len(read.own) + len(read.above) <= MOST_CERTIFICATES
    assert status_to_write(made, read, Known(tuple(one for one in chains if one)), now) is None
    broken = [{"role": "CA", "certificate": "AAAA"}, {"role": "CA", "certificate": "?"}]
    nothing = read_record(msgspec.convert(new_record(ref("foo")) | {"status": {"certificates": broken}}, SignerRecord))
    assert nothing is not None
    assert nothing.own == ()
    stranger = new_record(ref("foo"))
    stranger["metadata"]["name"] = "clusterissuers.bar"
    assert read_record(msgspec.convert(stranger, SignerRecord)) is None


@pytest.mark.heavy
def test_a_ca_that_changes_all_the_time() -> None:
    """However often a CA gets another key, writing comes to an end, and the latest ones are kept."""
    cluster = Cluster()
    happen(cluster, ("config", "istio", {"foo"}, None))
    authorities = [
        load_authority(one.pem, one.key_pem, None, now=NOW)
        for one in (CA(f"key {number}", private=pki.key("p256", n=1000 + number), now=NOW) for number in range(90))
    ]
    for one in authorities:
        cluster.seen.put_key(ref("foo"), one.key_id, one.chain)
        cluster.seen.settle(NOW)
        assert cluster.write(cluster.seen) <= 2
    for one in authorities:
        cluster.seen.put_key(ref("foo"), one.key_id, one.chain)
    cluster.seen.settle(NOW)
    assert cluster.write(cluster.seen) < 5
    record = read_record(cluster.records[record_name(ref("foo"))])
    assert record is not None
    assert len(record.own) == MOST_CERTIFICATES
    assert {one.key_id for one in authorities[-20:]} <= {one.key_id for one in record.own}


@pytest.mark.parametrize(
    ("signer", "name"),
    [
        (ref("foo"), "clusterissuers.foo"),
        (ref("issuers.bar.foo"), "clusterissuers.issuers.bar.foo"),
        (IssuerRef("Issuer", "bar", "foo"), "issuers.bar.foo"),
        (IssuerRef("Issuer", "bar", "foo.foo"), "issuers.bar.foo.foo"),
    ],
)
def test_names(signer: IssuerRef, name: str) -> None:
    """No two signers have one name."""
    assert record_name(signer) == name
    assert record_name(ref("x" * 250)).startswith("sha256.")
