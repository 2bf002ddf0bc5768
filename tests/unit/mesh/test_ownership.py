"""Who is to own a signer, and what of a claim's end is written down."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from signer.api.issuer import IssuerRef
from signer.api.namespace import NamespaceObject
from signer.mesh.ownership import Write, stand, to_bind, to_write
from signer.tenancy.index import Index
from signer.tenancy.verdict import Bind
from signer.tenancy.world import Binding, Settings
from tests.unit.tenancy.indexed import (
    BAR,
    FOO,
    NOW,
    binding,
    mesh,
    namespace_object,
    policy,
    proxy_config,
)

DAY = timedelta(days=1)
STORED = Binding(FOO, "foo", "uid-foo", NOW - DAY)


@pytest.fixture
def index() -> Index:
    """A mesh of two signers and the namespaces foo, shop and store; there is no namespace bar."""
    made = Index(Settings())
    made.world.unsynced = ""
    made.config_maps.put("istio", mesh("foo", "bar"))
    for name in ("foo", "shop", "store"):
        made.put_namespace(namespace_object(name))
    return made


class TestWhoBecomesTheOwner:
    def test_the_namespace_of_its_name(self, index: Index) -> None:
        """A signer goes to the namespace of its own name when that claims it, whoever else does."""
        index.proxy_configs.put(proxy_config("shop", "foo"))
        index.settle(NOW)
        assert to_bind(index, FOO, NOW) is None
        index.proxy_configs.put(proxy_config("foo", "foo"))
        index.settle(NOW)
        assert to_bind(index, FOO, NOW) == Bind(FOO, "foo", "uid-foo")

    def test_the_only_claimant(self, index: Index) -> None:
        """Where no namespace has its name, the only claimant gets it; of two, nobody does."""
        index.proxy_configs.put(proxy_config("shop", "bar"))
        index.settle(NOW)
        assert to_bind(index, BAR, NOW) == Bind(BAR, "shop", "uid-shop")
        index.proxy_configs.put(proxy_config("store", "bar"))
        index.settle(NOW)
        assert to_bind(index, BAR, NOW) is None

    def test_an_owner_stays(self, index: Index) -> None:
        """A signer that is owned, or that a policy gives out, or that is everybody's by default, is not bound."""
        index.proxy_configs.put(proxy_config("foo", "foo"))
        index.settle(NOW)
        assert to_bind(index, FOO, NOW) is not None
        index.put_binding(binding("foo", "shop"))
        index.settle(NOW)
        assert to_bind(index, FOO, NOW) is None
        index.remove_binding("foo", "b")
        index.put_policy(policy("p", "foo", namespaces={"names": ["shop"]}))
        index.settle(NOW)
        assert to_bind(index, FOO, NOW) is None
        index.remove_policy("p")
        index.proxy_configs.put(proxy_config("istio-system", "foo"))
        index.settle(NOW)
        assert to_bind(index, FOO, NOW) is None

    def test_no_signer_of_the_mesh(self, index: Index) -> None:
        """A tenant that names an issuer which is none of the mesh's does not come to own it."""
        index.proxy_configs.put(proxy_config("shop", "letsencrypt"))
        claimed = IssuerRef("ClusterIssuer", "", "letsencrypt")
        assert claimed in index.settle(NOW)
        assert to_bind(index, claimed, NOW) is None

    @pytest.mark.parametrize("field", ["unsynced", "stale"])
    def test_not_while_something_is_unknown(self, index: Index, field: str) -> None:
        """Nobody becomes an owner while a source is not read or not heard of."""
        index.proxy_configs.put(proxy_config("foo", "foo"))
        index.settle(NOW)
        setattr(index.world, field, "Namespaces" if field == "unsynced" else frozenset({"Namespaces"}))
        assert to_bind(index, FOO, NOW) is None

    def test_not_a_namespace_that_ends(self, index: Index) -> None:
        """A namespace that is being deleted gets nothing that would outlive it."""
        ending = {"name": "foo", "uid": "uid-foo", "deletionTimestamp": "2026-11-23T11:59:00Z"}
        index.proxy_configs.put(proxy_config("foo", "foo"))
        index.put_namespace(msgspec.convert({"metadata": ending}, NamespaceObject))
        index.settle(NOW)
        assert to_bind(index, FOO, NOW) is None


class TestTheEndOfAClaim:
    def write(
        self, stored: Binding, *, claims: bool, shown: Binding | None = None, since: float | None = None
    ) -> Write:
        began = NOW - timedelta(hours=since) if since is not None else None
        return to_write(stored, shown or stored, claims=claims, since=began, grace=DAY, now=NOW)

    def test_it_is_written_once(self) -> None:
        """The end is written with the time that it was seen at, and not again."""
        seen = Binding(FOO, "foo", "uid-foo", NOW - DAY, claim_ended=datetime(2026, 11, 23, 11, tzinfo=UTC))
        assert self.write(STORED, claims=False, shown=seen).status == {"claimEndedTime": "2026-11-23T11:00:00Z"}
        assert self.write(seen, claims=False) == Write({})
        assert self.write(STORED, claims=True) == Write({})

    def test_a_claim_for_a_moment(self) -> None:
        """Write, delete, keep the grace, repeat: a new claim takes an old end away only after it stood as long as a grace."""
        ended = Binding(FOO, "foo", "uid-foo", NOW - 40 * DAY, claim_ended=NOW - 20 * DAY)
        assert self.write(ended, claims=True) == Write({}, again=DAY)
        assert self.write(ended, claims=True, since=23) == Write({}, again=timedelta(hours=1))
        assert self.write(ended, claims=False, since=23) == Write({})
        assert self.write(ended, claims=True, since=24) == Write({"claimEndedTime": None})

    def test_a_grace_of_nothing(self) -> None:
        """However short the grace is, a claim of less than an hour counts for nothing."""
        assert (stand(timedelta(0)), stand(DAY)) == (timedelta(hours=1), DAY)


class TestTheNewestCertificate:
    def write(self, last: datetime | None, known: datetime) -> Write:
        stored = Binding(FOO, "foo", "uid-foo", NOW - DAY, last_issued=last)
        shown = Binding(FOO, "foo", "uid-foo", NOW - DAY, last_issued=known)
        return to_write(stored, shown, claims=True, since=None, grace=DAY, now=NOW)

    def test_the_first_one(self) -> None:
        """The first is written at once: a grace rests on it."""
        assert self.write(None, NOW).status == {"lastIssuedTime": "2026-11-23T12:00:00Z"}

    def test_each_ten_minutes(self) -> None:
        """A later one is written ten minutes after the one before, and is not forgotten until then."""
        early = NOW - timedelta(minutes=4)
        assert self.write(early, NOW) == Write({}, again=timedelta(minutes=6))
        assert self.write(NOW - timedelta(minutes=10), early).status == {"lastIssuedTime": "2026-11-23T11:56:00Z"}
        assert self.write(NOW, NOW) == Write({})
