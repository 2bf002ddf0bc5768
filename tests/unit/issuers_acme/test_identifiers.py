"""Names of orders have one form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.identifiers import BadIdentifier, Identifier, identifier, identifiers, set_key


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("Example.COM.", Identifier("dns", "example.com")),
        ("*.Shop.example.com", Identifier("dns", "*.shop.example.com")),
        ("xn--bcher-kva.example", Identifier("dns", "xn--bcher-kva.example")),
        ("192.0.2.1", Identifier("ip", "192.0.2.1")),
        ("2001:DB8:0::1", Identifier("ip", "2001:db8::1")),
    ],
)
def test_one_form(name: str, form: Identifier) -> None:
    """Case, a trailing dot and spellings of an address do not matter."""
    assert identifier(name) == form
    assert identifier(form.value) == form


@pytest.mark.parametrize(
    "name",
    ["", ".", "localhost", "*", "*.", "a.*.example.com", "**.example.com", "-a.example.com", "a..example.com", "bücher.example",
     "a b.example.com", "example.com/x", "a.example.com:80", "1.2.3", "300.1.1.1", "fe80::1%eth0", "a" * 64 + ".com", "a." * 130 + "com", "a.example.com\n.b"],
)  # fmt: skip
def test_no_names(name: str) -> None:
    """What is not a public name, wildcard or address is refused, and the message shows it."""
    with pytest.raises(BadIdentifier):
        identifier(name)


def test_sets() -> None:
    """A list of names is a set: each once, in one order; none and too many are refused."""
    found = identifiers(["b.example.com", "A.example.com", "b.example.com."])
    assert found == (Identifier("dns", "a.example.com"), Identifier("dns", "b.example.com"))
    with pytest.raises(BadIdentifier):
        identifiers([])
    with pytest.raises(BadIdentifier, match="101 names"):
        identifiers(f"n{number}.example.com" for number in range(101))


@pytest.mark.heavy
@given(st.lists(st.from_regex(r"[a-z]{1,5}\.[a-z]{2,5}", fullmatch=True), min_size=1, max_size=8), st.randoms())
def test_key_of_a_set(names: list[str], random: object) -> None:
    """The key of a set depends on the names alone, and another set has another."""
    shuffled = [*names, names[0]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # random.Random, which hypothesis types loosely
    assert set_key(identifiers(names)) == set_key(identifiers(shuffled))
    assert set_key(identifiers(names)) != set_key(identifiers([*names, "one.more.example"]))


def test_wildcards() -> None:
    """A wildcard knows the name whose owner is asked."""
    assert identifier("*.example.com").wildcard
    assert identifier("*.example.com").base == "example.com"
    assert identifier("example.com").base == "example.com"
