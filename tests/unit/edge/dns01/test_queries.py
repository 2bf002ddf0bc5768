"""What hostile name servers can say, and that nothing comes of it. The honest ones are BIND, in tests/integration/edge."""

import base64
from collections.abc import Callable

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.tsig
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from issuers.acme.targets import ANYWHERE, AddressRule
from signer.edge.dns01 import queries as dns_queries
from signer.edge.dns01.queries import NoAnswer, Questions, itself_and_above
from signer.edge.dns01.record import Answered, classify
from signer.edge.dns01.rfc2136 import Updates
from signer.edge.issuers.dns01_spec import ALGORITHMS, Rfc2136, Tsig
from signer.tenancy.verdict import Refuse
from tests.fakes.dns_faults import reply, scripted

Message = dns.message.Message
ZONE = "example.com"
NAME = f"_acme-challenge.a.{ZONE}"
VALUE = "v" * 43
SOA = f"{ZONE}. SOA ns.{ZONE}. admin.{ZONE}. 1 2 3 4 5"
TSIG = Tsig("acme-key", ALGORITHMS["HMACSHA256"], "tsig", "secret")
SECRET = base64.b64encode(b"s" * 32)
KEY = dns.tsig.Key(TSIG.name, b"s" * 32, TSIG.algorithm)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gives no answer is not waited for as long as in earnest. For servers that are silent: a busy machine makes others late."""
    monkeypatch.setattr(dns_queries, "_TRY_SECONDS", 0.3)


def zone(query: Message, txt: Callable[[Message], Message]) -> list[Message]:
    """A zone with one server at 127.0.0.1; what it says of TXT records is the test's."""
    kind = query.question[0].rdtype
    if kind == dns.rdatatype.TXT:
        return [txt(query)]
    if kind == dns.rdatatype.NS:
        return [reply(query, f"{ZONE}. NS ns.{ZONE}.")]
    if kind == dns.rdatatype.A:
        return [reply(query, f"ns.{ZONE}. A 127.0.0.1")]
    return [reply(query, authority=(SOA,))]


async def looked(txt: Callable[[Message], Message], rule: AddressRule = ANYWHERE) -> Answered:
    """What is made of an answer of the zone's one server."""
    async with scripted(lambda query: zone(query, txt)) as port:
        questions = Questions([("127.0.0.1", port)], {f"ns.{ZONE}": port})
        (found,) = await questions.at_all_servers(NAME, rule)
    return found


async def test_an_honest_server() -> None:
    """The value is found, in whatever pieces it is sent."""
    found = await looked(lambda query: reply(query, f'{NAME}. TXT "{VALUE[:20]}" "{VALUE[20:]}"', f'{NAME}. TXT "x"'))
    assert found == Answered(f"ns.{ZONE}", frozenset({VALUE, "x"}))


@pytest.mark.parametrize(
    ("txt", "problem"),
    [
        (lambda query: reply(query, f'{NAME}. TXT "{VALUE}"', own=False), "does not have the zone"),
        (lambda query: reply(query, f'other.{ZONE}. TXT "{VALUE}"'), ""),
        (lambda query: reply(query, f"{NAME}. CNAME evil.example.", f'evil.example. TXT "{VALUE}"'), ""),
    ],
    ids=["not its zone", "another name", "an alias"],
)
async def test_what_proves_nothing(txt: Callable[[Message], Message], problem: str) -> None:
    """A value that a server has no say in, or that stands under another name, does not count."""
    found = await looked(txt)
    assert problem in found.problem
    assert not classify(NAME, VALUE, [found]).passed


async def test_where_nobody_is_asked() -> None:
    """Whoever has a zone gives its servers any address: those that may not be reached get no question."""
    asked: list[Message] = []

    def txt(query: Message) -> Message:
        asked.append(query)
        return reply(query, f'{NAME}. TXT "{VALUE}"')

    found = await looked(txt, AddressRule())
    assert "not asked (a loopback address)" in found.problem
    assert asked == []


@pytest.mark.parametrize(
    "noise",
    [
        lambda _: b"",
        lambda _: b"x" * 600,
        lambda query: query.to_wire()[:11],
        lambda _: dns.message.make_response(dns.message.make_query(NAME, "TXT")).to_wire(),
        lambda query: reply(dns.message.make_query(f"b.{ZONE}", "TXT", id=query.id)).to_wire(),
    ],
    ids=["empty", "garbage", "cut", "another id", "another question"],
)
async def test_noise_before_the_answer(noise: Callable[[Message], bytes]) -> None:
    """Forged or broken packets neither count nor keep the right one from being read."""

    def answer(query: Message) -> list[bytes | Message]:
        return [noise(query), *zone(query, lambda one: reply(one, f'{NAME}. TXT "{VALUE}"'))]

    async with scripted(answer) as port:
        query = dns.message.make_query(NAME, "TXT", flags=0)
        found = await Questions().ask(query, "127.0.0.1", port)
    assert found.answer


@pytest.mark.usefixtures("brief")
async def test_silence() -> None:
    """A server that says nothing is told as one, and asked no longer than it should be."""
    async with scripted(lambda _: []) as port:
        questions = Questions([("127.0.0.1", port)])
        with pytest.raises(NoAnswer, match="gives no answer"):
            await questions.ask(dns.message.make_query(NAME, "TXT"), "127.0.0.1", port)
        with pytest.raises(NoAnswer, match="give no answer about"):
            await questions.zone(NAME)


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR])
@pytest.mark.parametrize("failing", [1, 2, 9])
async def test_what_was_answered_is_told(code: dns.rcode.Rcode, failing: int) -> None:
    """A server that fails at a name is asked for the names above it; if it fails at all, it is said who answered what."""
    names = list(dns_queries.itself_and_above(NAME))[:failing]

    def answer(query: Message) -> list[Message]:
        if query.question[0].name.to_text(omit_final_dot=True) in names:
            found = dns.message.make_response(query)
            found.set_rcode(code)
            return [found]
        return zone(query, reply)

    async with scripted(answer) as port:
        questions = Questions([("127.0.0.1", port)])
        if failing < 3:
            assert await questions.zone(NAME) == ZONE
            return
        with pytest.raises(NoAnswer, match=rf"SOA of {NAME}, .*127\.0\.0\.1.* answers {dns.rcode.to_text(code)}"):
            await questions.zone(NAME)


async def test_too_many_servers() -> None:
    """A zone with more servers than any honest one has makes no flood of questions."""
    servers = [f"{ZONE}. NS ns{number}.{ZONE}." for number in range(dns_queries.MAX_SERVERS + 1)]
    async with scripted(lambda query: [reply(query, *servers)]) as port:
        with pytest.raises(NoAnswer, match="17 name servers"):
            await Questions([("127.0.0.1", port)]).servers(ZONE)


async def test_a_circle() -> None:
    """Aliases in a circle are followed once round, and told."""
    aliases = {f"{NAME}.": f"b.{ZONE}.", f"b.{ZONE}.": f"{NAME}."}

    def answer(query: Message) -> list[Message]:
        name = str(query.question[0].name)
        return [reply(query, *([f"{name} CNAME {aliases[name]}"] if name in aliases else []))]

    async with scripted(answer) as port:
        found = await Questions([("127.0.0.1", port)]).delegated(NAME)
    assert isinstance(found, Refuse)
    assert "circle" in found.message


LABELS = st.sampled_from(("a", "b", "_acme-challenge", "*"))
RELATIVE = st.lists(LABELS, min_size=1, max_size=3).map(tuple).filter(lambda labels: "*" not in labels[1:])
ZONES = st.dictionaries(RELATIVE, st.sampled_from(("", "x", "y", "a.b", "_acme-challenge.b")), max_size=6)
"""By owner, below ZONE: where its CNAME leads, "" for another record; a wildcard only as the first label."""


def aliases_in(zone: dict[tuple[str, ...], str], name: tuple[str, ...]) -> tuple[str | None, bool]:
    """Where a zone says that a name leads, and whether by a wildcard: the closest name that exists decides (RFC 4592, 3.3.1)."""
    existing = {owner[index:] for owner in zone for index in range(len(owner))}
    if name in existing:
        return zone.get(name) or None, False
    for index in range(1, len(name) + 1):
        if name[index:] in existing or index == len(name):
            return zone.get(("*", *name[index:])) or None, True
    return None, False


@pytest.mark.heavy
@settings(max_examples=60, deadline=None)
@given(ZONES)
@example({("_acme-challenge", "a"): "y", ("*", "_acme-challenge", "a"): "y"})
@example({("_acme-challenge", "a"): "y", ("*", "_acme-challenge", "a"): "y", ("*", "a"): "y"})
@example({("_acme-challenge", "a"): "y", ("*", "a"): "y"})
@example({("*", "a"): "y"})
@example({("*",): "y"})
async def test_what_a_wildcard_makes_up(zone: dict[tuple[str, ...], str]) -> None:
    """In any zone, a record's name leads where its own CNAMEs lead, and nowhere by a wildcard's."""

    def answer(query: Message) -> list[Message]:
        text = query.question[0].name.to_text(omit_final_dot=True).lower()
        target, _ = aliases_in(zone, tuple(text.removesuffix(f".{ZONE}").split(".")))
        return [reply(query, *([f"{text}. CNAME {target}.{ZONE}."] if target else []))]

    wanted = ["_acme-challenge", "a"]
    seen = [tuple(wanted)]
    while True:
        target, made_up = aliases_in(zone, seen[-1])
        if target is None or made_up or (following := tuple(target.split("."))) in seen:
            break
        seen.append(following)
    circle = target is not None and not made_up
    async with scripted(answer) as port:
        found = await Questions([("127.0.0.1", port)]).delegated(NAME)
    assert isinstance(found, Refuse) if circle else found == ".".join((*seen[-1], ZONE))


class TestUpdates:
    @staticmethod
    def updates(port: int, rule: AddressRule = ANYWHERE) -> Updates:
        return Updates(Questions(), Rfc2136("127.0.0.1", port, tsig=TSIG), SECRET, rule)

    async def test_an_answer_that_is_not_signed(self) -> None:
        """That an update was made is believed only of a server that has the key."""
        async with scripted(lambda query: [reply(query, authority=(SOA,) if query.opcode() == 0 else ())]) as port:
            reason = await self.updates(port).add(NAME, VALUE)
        assert reason is not None
        assert "is not signed" in reason.message

    @pytest.mark.parametrize("signed", [False, True])
    @pytest.mark.parametrize("owner", ["example.org.", ".", "b.a.example.com."])
    async def test_another_zone(self, owner: str, signed: bool) -> None:
        """A server cannot have another zone changed than one that the name is in, though it has the key."""
        soa = f"{owner} SOA ns.{ZONE}. admin.{ZONE}. 1 2 3 4 5"
        async with scripted(lambda query: [reply(query, authority=(soa,))], KEY) as port:
            updates = Updates(Questions(), Rfc2136("127.0.0.1", port, tsig=TSIG if signed else None), SECRET, ANYWHERE)
            reason = await updates.add(NAME, VALUE)
        assert reason is not None
        assert "does not have the zone" in reason.message

    @pytest.mark.parametrize("above", ["", f"a.{ZONE}"], ids=["in the zone", "in a zone below it"])
    async def test_the_zone_beside_an_alias(self, above: str) -> None:
        """Where a wildcard's alias leads is no zone of the name: the first name above that is no alias has the zone's."""
        zone, updated = above or ZONE, list[str]()

        def answer(query: Message) -> list[Message]:
            name = query.question[0].name.to_text(omit_final_dot=True)
            if query.opcode() == dns.opcode.UPDATE:
                updated.append(name)
                return [reply(query)]
            soa = (f"{zone}. SOA ns.{zone}. admin.{zone}. 1 2 3 4 5",)
            if name == zone:
                return [reply(query, *soa)]
            # As name servers have it: the SOA beside the alias is of where that leads, here the zone above.
            return [reply(query, f"{name}. CNAME web.{ZONE}.", authority=(SOA,))]

        async with scripted(answer, KEY) as port:
            assert await self.updates(port).add(NAME, VALUE) is None
        assert updated == [zone]

    async def test_the_question_is_signed(self) -> None:
        """The key chooses the view, so the question for the zone has it, as the update has."""
        seen: list[tuple[int, bool]] = []

        def note(query: Message) -> list[Message]:
            seen.append((query.opcode(), query.had_tsig))
            return [reply(query, authority=() if query.opcode() == dns.opcode.UPDATE else (SOA,))]

        async with scripted(note, KEY) as port:
            assert await self.updates(port).add(NAME, VALUE) is None
        assert seen == [(dns.opcode.QUERY, True), (dns.opcode.UPDATE, True)]

    async def test_where_nobody_is_asked(self) -> None:
        """A tenant's name server on this machine gets no packet."""
        asked: list[Message] = []

        def note(query: Message) -> list[Message]:
            asked.append(query)
            return []

        async with scripted(note) as port:
            reason = await self.updates(port, AddressRule()).add(NAME, VALUE)
        assert reason is not None
        assert "a loopback address, which an Issuer may not reach" in reason.message
        assert asked == []

    @pytest.mark.parametrize("secret", [b"", b"not base64!", b"YQ", b"\xff"])
    def test_a_secret_that_is_none(self, secret: bytes) -> None:
        """What is not a TSIG secret is told, and not shown."""
        with pytest.raises(ValueError, match="TSIG secret is") as error:
            Updates(Questions(), Rfc2136("127.0.0.1", tsig=TSIG), secret, ANYWHERE)
        assert "not base64!" not in str(error.value)

    def test_seals(self) -> None:
        """A note's seal is another for each text and each key."""
        one = Updates(Questions(), Rfc2136("127.0.0.1", tsig=TSIG), SECRET, ANYWHERE)
        other = Updates(Questions(), Rfc2136("127.0.0.1", tsig=TSIG), base64.b64encode(b"t" * 32), ANYWHERE)
        assert len({one.seal("a"), one.seal("b"), other.seal("a")}) == 3
        assert one.seal("a") == one.seal("a")


class _Zone(Questions):
    """Names below example.test, as RFC 4592 has wildcards: `records` are addresses by name, "*." in front of a wildcard's."""

    def __init__(self, records: dict[str, str]) -> None:
        super().__init__()
        self._records = records

    async def zone(self, name: str) -> str:
        assert name.endswith(".example.test")
        return "example.test"

    async def addresses(self, name: str) -> tuple[str, ...]:
        return self.of(name)

    def exists(self, name: str) -> bool:
        """Whether it has a record, or a name below it does."""
        return name == "example.test" or any(one == name or one.endswith(f".{name}") for one in self._records)

    def of(self, name: str) -> tuple[str, ...]:
        """What a server of the zone says of it."""
        if not self.exists(name):
            name = f"*.{next(one for one in itself_and_above(name) if self.exists(one))}"
        found = self._records.get(name)
        return (found,) if found is not None else ()


_BELOW = st.lists(st.sampled_from(["a", "b"]), max_size=3).map(lambda labels: ".".join([*labels, "example.test"]))
_OWNERS = st.builds(lambda star, name: f"*.{name}" if star else name, st.booleans(), _BELOW)


@given(st.dictionaries(_OWNERS, st.sampled_from(["192.0.2.1", "192.0.2.2"])), _BELOW.filter(lambda name: "." in name))
async def test_who_would_lose_addresses(records: dict[str, str], name: str) -> None:
    """Whatever a zone has, each name that a record below it would take a wildcard's addresses from is found.

    Where no two records have the same addresses no other is.
    """
    record = f"_acme-challenge.{name}"
    above = [one for one in itself_and_above(record)[1:] if one.endswith(".example.test")]
    zone = _Zone(records)
    lose = {one for one in above if not zone.exists(one) and zone.of(one)}
    assert lose <= set(await zone.starved_by(record))
    different = _Zone({one: f"192.0.2.{number}" for number, one in enumerate(records)})
    assert lose == set(await different.starved_by(record))


@pytest.mark.parametrize(("code", "starved"), [(dns.rcode.NOTIMP, True), (dns.rcode.SERVFAIL, False)])
async def test_where_nobody_tells_zones(code: dns.rcode.Rcode, starved: bool) -> None:
    """A server that knows no zone at all has no wildcard whose addresses could be lost; one that fails does not say so."""

    def answer(query: Message) -> list[Message]:
        found = reply(query)
        if query.question[0].rdtype == dns.rdatatype.SOA:
            found.set_rcode(code)
        return [found]

    async with scripted(answer) as port:
        questions = Questions([("127.0.0.1", port)])
        if starved:
            assert await questions.starved_by(NAME) == ()
        else:
            with pytest.raises(NoAnswer, match="SERVFAIL"):
                await questions.starved_by(NAME)
