"""The next step of an Order: from what is stored alone, at whatever point a process died."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.challenge import Challenge
from signer.api.order import Order
from signer.edge.orders.step import (
    AwaitChallenges,
    Done,
    Fail,
    FetchCertificate,
    Finalize,
    MakeChallenges,
    OrderStep,
    PlaceOrder,
    ReadAuthorizations,
    ReadOrder,
    RemoveChallenges,
    challenge_body,
    challenge_name,
    genuine,
    order_step,
)
from tests.unit.edge.http01.test_routes import KEY
from tests.unit.edge.issuance import CA, DNS_SOLVER, SOLVER, authorization, challenge, offered, order, pending

SOLVERS = [SOLVER, DNS_SOLVER]


def step(one: Order, *challenges: Challenge, solvers: Any = SOLVERS, key: str = KEY) -> OrderStep:
    return order_step(one, challenges, solvers, {}, lambda _kind, _token: key)


def made(one: Order) -> Challenge:
    """The Challenge that we make for the first authorization."""
    found = step(one)
    assert isinstance(found, MakeChallenges)
    body = challenge_body(one, found.challenges[0], KEY)
    body["metadata"]["uid"] = "c-uid"
    return msgspec.convert(body, Challenge)


def with_status(one: Challenge, **status: Any) -> Challenge:
    raw = {"metadata": msgspec.to_builtins(one.metadata), "spec": one.raw_spec, "status": status}
    return msgspec.convert(raw, Challenge)


class TestSteps:
    def test_new(self) -> None:
        """An Order without URL is placed; one with a URL is never placed again, whatever else is missing."""
        assert step(order()) == PlaceOrder()
        for state in ("", "pending", "processing"):
            assert step(order({"url": f"{CA}/order/1", "state": state})) == ReadOrder()

    def test_authorizations(self) -> None:
        """Authorizations of which only the URL is known are read."""
        unread = {"url": f"{CA}/authz/2"}
        found = step(order(pending(authorization(), unread)))
        assert found == ReadAuthorizations((f"{CA}/authz/2",))

    def test_challenges_are_made(self) -> None:
        """Each name that is not proven gets a Challenge, with the solver that fits."""
        one = order(
            pending(
                authorization("a.example.com", 1),
                authorization("b.example.com", 2, wildcard=True),
                authorization("c.example.com", 3, initialState="valid"),
            ),
            dnsNames=["a.example.com", "*.b.example.com", "c.example.com"],
        )
        found = step(one)
        assert isinstance(found, MakeChallenges)
        assert [(made.authorization.identifier, made.offered.type) for made in found.challenges] == [
            ("a.example.com", "http-01"),
            ("b.example.com", "dns-01"),
        ]
        assert step(one) == found

    def test_a_part_of_them_is_there(self) -> None:
        """After a restart in the middle only what is missing is made."""
        one = order(
            pending(authorization("a.example.com", 1), authorization("b.example.com", 2)),
            dnsNames=["a.example.com", "b.example.com"],
        )
        first = made(one)
        found = step(one, first)
        assert isinstance(found, MakeChallenges)
        assert [made.authorization.identifier for made in found.challenges] == ["b.example.com"]

    def test_waiting(self) -> None:
        """While a Challenge is not finished the Order waits, and tells for what."""
        one = order(pending())
        waiting = with_status(made(one), state="pending", processing=True, reason="no such host")
        found = step(one, waiting)
        assert found == AwaitChallenges((waiting.metadata.name,), "a.example.com: no such host")

    @pytest.mark.parametrize("turned", [False, True])
    def test_which_record_is_told(self, turned: bool) -> None:
        """Of a name and its wildcard the Order tells the wildcard's record, which proves both: who writes it is done."""
        solver = {"dns01": {"persistent": {"issuerDomainName": "ca.example"}}}
        offer = {"type": "dns-persist-01", "url": f"{CA}/chall/p", "token": ""}
        listed = [
            authorization("a.example.com", 1, challenges=[offer]),
            authorization("a.example.com", 2, wildcard=True, challenges=[offer]),
        ]
        one = order(pending(*(listed[::-1] if turned else listed)), dnsNames=["a.example.com", "*.a.example.com"])
        found = step(one, solvers=[solver])
        assert isinstance(found, MakeChallenges)
        bodies = [challenge_body(one, each, KEY) for each in found.challenges]
        for body in bodies:
            body["metadata"]["uid"] = body["metadata"]["name"]
        there = [
            with_status(
                msgspec.convert(body, Challenge),
                state="pending",
                processing=True,
                reason="both" if body["spec"]["wildcard"] else "one",
            )
            for body in bodies
        ]
        waits = step(one, *there, solvers=[solver])
        assert isinstance(waits, AwaitChallenges)
        assert waits.message == "a.example.com: both"

    def test_an_issuer_that_changed_its_solvers(self) -> None:
        """A Challenge that waits for what an issuer's old solver wants gives way to one for its new solver."""
        one = order(pending())
        waiting = with_status(made(one), processing=True, state="pending", reason="waits")
        assert step(one, waiting, solvers=[DNS_SOLVER]) == RemoveChallenges((waiting,))
        found = step(one, solvers=[DNS_SOLVER])
        assert isinstance(found, MakeChallenges)
        assert found.challenges[0].name == waiting.metadata.name
        assert step(one, with_status(waiting, state="processing"), solvers=[DNS_SOLVER]) != RemoveChallenges((waiting,))

    def test_an_issuer_with_another_key(self) -> None:
        """What was ordered by an account that the issuer no longer has ends, and says so: its answers would be wrong."""
        one = order(pending())
        waiting = with_status(made(one), state="pending")
        found = step(one, waiting, key="another")
        assert isinstance(found, Fail)
        assert found.reason.code == "AccountChanged"
        assert step(one, with_status(waiting, state="valid"), key="another") == ReadOrder()

    def test_all_valid(self) -> None:
        """With every name proven the CA is asked how the order is."""
        one = order(pending())
        assert step(one, with_status(made(one), state="valid")) == ReadOrder()
        assert step(order(pending(authorization(initialState="valid")))) == ReadOrder()

    @pytest.mark.parametrize("state", ["invalid", "expired", "errored"])
    def test_a_failed_challenge(self, state: str) -> None:
        """One name that cannot be proven ends the Order, with the CA's own words."""
        one = order(pending())
        found = step(one, with_status(made(one), state=state, reason="the CA said why"))
        assert isinstance(found, Fail)
        assert found.reason.message == "a.example.com: the CA said why"

    def test_a_failed_challenge_among_others(self) -> None:
        """A proof that failed ends the Order though others still wait, and before the CA's order says so."""
        one = order(
            pending(authorization("a.example.com", 1), authorization("b.example.com", 2)),
            dnsNames=["a.example.com", "b.example.com"],
        )
        found = step(one)
        assert isinstance(found, MakeChallenges)
        first, second = (
            msgspec.convert(
                challenge_body(one, each, KEY) | {"status": {"state": state, "reason": "wrong answer"}}, Challenge
            )
            for each, state in zip(found.challenges, ("processing", "invalid"), strict=True)
        )
        failed = step(one, first, second)
        assert isinstance(failed, Fail)
        assert failed.reason.message == "b.example.com: wrong answer"

    def test_the_end(self) -> None:
        """Ready is finalized, processing is asked again, valid is fetched, and then there is nothing more to do."""
        assert step(order(pending(state="ready"))) == Finalize()
        unread = {"url": "https://ca.test/authz/1"}
        assert step(order({**pending(state="ready"), "authorizations": [unread]})) == ReadAuthorizations(
            (unread["url"],)
        )
        assert step(order(pending(state="processing"))) == ReadOrder()
        assert step(order(pending(state="valid"))) == FetchCertificate()
        assert step(order(pending(state="valid", certificate="aGk="))) == Done(failed=False)
        for state in ("invalid", "expired", "errored"):
            assert step(order(pending(state=state))) == Done(failed=True)

    def test_no_solver(self) -> None:
        """Without a way to prove a name the Order fails, and says what to add."""
        found = step(order(pending(authorization(wildcard=True)), dnsNames=["*.a.example.com"]), solvers=[SOLVER])
        assert isinstance(found, Fail)
        assert found.reason.code == "NoSolver"

    def test_an_unreadable_status(self) -> None:
        """A status that cannot be read is no reason to order again."""
        found = step(order({"url": 7}))
        assert isinstance(found, Fail)
        assert found.reason.code == "Unreadable"


class TestWhatTheCASends:
    @pytest.mark.parametrize(
        "authorizations",
        [
            [authorization("evil.example")],
            [authorization(), authorization("evil.example", 2)],
            [authorization(wildcard=True)],
            [authorization("10.0.0.1")],
        ],
    )
    def test_names_that_were_not_ordered(self, authorizations: list[Any]) -> None:
        """A CA cannot make us prove names that nobody ordered."""
        found = step(order(pending(*authorizations)))
        assert isinstance(found, Fail)
        assert found.reason.code == "UnexpectedAuthorization"

    @pytest.mark.parametrize("token", ["", "short", "a" * 129, "../../../etc/passwd-----", "a" * 30 + "\n"])
    def test_tokens_that_are_none(self, token: str) -> None:
        """A token that is none never reaches a route or a record."""
        found = step(order(pending(authorization(challenges=[offered(token=token)]))))
        assert isinstance(found, Fail)
        assert found.reason.code == "MalformedChallenge"

    def test_other_kinds_may_look_as_they_like(self) -> None:
        """Kinds of challenges that we do not know are left alone."""
        found = step(order(pending(authorization(challenges=[offered("dns-persist-01", token="?"), offered()]))))
        assert isinstance(found, MakeChallenges)


class TestGenuine:
    def one(self) -> tuple[Order, Challenge]:
        ordered = order(pending())
        return ordered, made(ordered)

    def test_our_own(self) -> None:
        """What we made is worked on."""
        ordered, found = self.one()
        assert genuine(found, ordered, SOLVERS, {}, KEY)
        assert found.metadata.name == challenge_name(ordered, ordered.status.authorizations[0])

    @pytest.mark.parametrize(
        "change",
        [
            {"solver": {"dns01": {"webhook": {"groupName": "evil.example", "solverName": "x"}}}},
            {"solver": {"dns01": {"acmeDNS": {"host": "https://evil.example", "accountSecretRef": {"name": "s"}}}}},
            {"dnsName": "victim.example"},
            {"url": "https://evil.example/"},
            {"authorizationURL": "https://evil.example/"},
            {"token": "b" * 43},
            {"key": "b" * 43 + "." + "c" * 43},
            {"wildcard": True},
            {"type": "DNS-01"},
            {"issuerRef": {"name": "other", "kind": "ClusterIssuer", "group": "cert-manager.io"}},
            {"extra": True},
        ],
        ids=str,
    )
    def test_one_that_a_user_made(self, change: dict[str, Any]) -> None:
        """A Challenge that differs in any field from what we would make is not worked on, though it names our Order."""
        ordered, found = self.one()
        raw = {"metadata": msgspec.to_builtins(found.metadata), "spec": found.raw_spec | change}
        assert not genuine(msgspec.convert(raw, Challenge), ordered, SOLVERS, {}, KEY)

    def test_another_name_or_owner(self) -> None:
        """A copy under another name, or of another Order, is not worked on."""
        ordered, found = self.one()
        meta = msgspec.to_builtins(found.metadata)
        copy = msgspec.convert({"metadata": meta | {"name": "copy"}, "spec": found.raw_spec}, Challenge)
        assert not genuine(copy, ordered, SOLVERS, {}, KEY)
        stranger = msgspec.convert({"metadata": meta | {"ownerReferences": []}, "spec": found.raw_spec}, Challenge)
        assert not genuine(stranger, ordered, SOLVERS, {}, KEY)

    def test_an_issuer_that_changed(self) -> None:
        """When the issuer no longer has the solver, nothing is done with it any more."""
        ordered, found = self.one()
        assert not genuine(found, ordered, [DNS_SOLVER], {}, KEY)
        assert not genuine(found, ordered, [], {}, KEY)

    def test_strangers_count_for_nothing(self) -> None:
        """A Challenge of somebody else's Order neither ends nor completes this one."""
        one = order(pending())
        name = challenge_name(one, one.status.authorizations[0])
        assert isinstance(step(one, challenge(name, owner="other", status={"state": "valid"})), MakeChallenges)


@given(
    st.sampled_from(["", "pending", "ready", "processing", "valid", "invalid", "expired", "errored"]),
    st.booleans(),
    st.lists(st.sampled_from(["", "pending", "processing", "valid", "invalid"]), max_size=2),
)
def test_never_ordered_twice(state: str, with_authorizations: bool, challenges: list[str]) -> None:
    """Whatever is stored, an Order that has a URL is never placed again."""
    status = pending(state=state) if with_authorizations else {"url": f"{CA}/order/1", "state": state}
    one = order(status)
    found = [challenge(f"c{n}", status={"state": each}) for n, each in enumerate(challenges)]
    assert step(one, *found) != PlaceOrder()
