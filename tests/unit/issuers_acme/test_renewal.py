"""When certificates are renewed."""

import datetime as dt

import pytest
from acme.client import _renewal_info_path_component
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.answers import Window
from issuers.acme.renewal import (
    CHECK_AT_LEAST,
    CHECK_AT_MOST,
    CHECK_UNTOLD,
    Advice,
    Life,
    Why,
    certificate_id,
    next_check,
    plan,
    rule,
    take_advice,
)

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1())
FRACTIONS = st.floats(0, 1, exclude_max=True)
LIVES = st.timedeltas(dt.timedelta(hours=1), dt.timedelta(days=400)).map(lambda length: Life(NOW, NOW + length))


def certificate(serial: int, identifier: bytes | None) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
    )
    if identifier is not None:
        key_identifier = x509.AuthorityKeyIdentifier(identifier, None, None)
        builder = builder.add_extension(key_identifier, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def test_the_id_of_the_rfc() -> None:
    """The example of RFC 9773, section 4.1, with its sign byte."""
    identifier = bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4")
    assert certificate_id(certificate(0x0087654321, identifier)) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    assert certificate_id(certificate(1, None)) is None


@given(st.integers(1, (1 << 159) - 1), st.binary(min_size=1, max_size=20))
def test_ids(serial: int, identifier: bytes) -> None:
    """Every serial number and key identifier makes the id that the acme library makes of it."""
    made = certificate(serial, identifier)
    assert certificate_id(made) == _renewal_info_path_component(made)


WINDOW = Window(NOW + 10 * DAY, NOW + 12 * DAY)


@given(FRACTIONS, FRACTIONS)
def test_advice_is_kept(first: float, second: float) -> None:
    """One instant in the window is chosen and kept, until the window moves away from it."""
    chosen = take_advice(WINDOW, first)
    assert WINDOW.start <= chosen.instant <= WINDOW.end
    assert take_advice(WINDOW, second, chosen).instant == chosen.instant
    moved = Window(NOW, NOW + DAY)
    assert moved.start <= take_advice(moved, second, chosen).instant <= moved.end


def test_advice_is_spread() -> None:
    """Instants are spread over the whole window."""
    found = [take_advice(WINDOW, number / 10).instant for number in range(10)]
    assert found == sorted(set(found))
    assert found[9] - found[0] > 1.7 * DAY


@given(st.none() | st.timedeltas(-10 * DAY, 400 * DAY), FRACTIONS)
def test_when_to_ask(wait: dt.timedelta | None, fraction: float) -> None:
    """The CA is asked again in an hour at the earliest and in a day at the latest, and within a tenth of its own time."""
    found = next_check(NOW, None if wait is None else NOW + wait, fraction) - NOW
    assert CHECK_AT_LEAST <= found <= CHECK_AT_MOST
    wanted = CHECK_UNTOLD if wait is None else wait
    if CHECK_AT_LEAST <= wanted <= CHECK_AT_MOST:
        assert wanted <= found <= min(1.1 * wanted, CHECK_AT_MOST)


@pytest.mark.parametrize(("days", "left"), [(90, 30), (45, 15), (10, 10 / 3), (6, 3), (1, 0.5)])
def test_rule(days: float, left: float) -> None:
    """Without advice: a third of the life is left, half of a life under ten days."""
    assert rule(Life(NOW, NOW + days * DAY), 0) == rule(Life(NOW, NOW + days * DAY), 0)
    assert rule(Life(NOW, NOW + days * DAY), 0).at == NOW + days * DAY - left * DAY


@given(LIVES, FRACTIONS)
def test_rule_is_spread(life: Life, fraction: float) -> None:
    """The fraction moves it up to a fiftieth of the life, and only earlier."""
    late = rule(life, 0).at
    assert late - life.length / 50 <= rule(life, fraction).at <= late


def test_renew_before() -> None:
    """A Certificate's own wish counts when it makes sense."""
    life = Life(NOW, NOW + 90 * DAY)
    assert rule(life, 0.5, 40 * DAY).at == NOW + 50 * DAY
    assert rule(life, 0.5, 40 * DAY).why is Why.ASKED
    for wrong in (90 * DAY, 100 * DAY, dt.timedelta(), -DAY):
        assert rule(life, 0.5, wrong).why is Why.RULE


LIFE = Life(NOW, NOW + 100 * DAY)


@pytest.mark.parametrize(
    ("age", "why", "alarm"),
    [
        (0, Why.ADVICE, False),
        (94, Why.ADVICE, False),
        (96, Why.EMERGENCY, False),
        (98.5, Why.EMERGENCY, True),
        (101, Why.EMERGENCY, True),
    ],
)
def test_emergency(age: float, why: Why, alarm: bool) -> None:
    """With less than a twentieth of the life left advice is ignored, with less than a fiftieth a person must know."""
    never = Advice(Window(NOW + 300 * DAY, NOW + 301 * DAY), NOW + 300 * DAY)
    found = plan(LIFE, NOW + age * DAY, advice=never, fraction=0)
    assert (found.why, found.alarm) == (why, alarm)
    if why is Why.EMERGENCY:
        assert found.at <= NOW + age * DAY


def test_a_ca_that_always_says_now() -> None:
    """Advice to renew at once is followed after an hour at the earliest, so no loop makes an order each second."""
    now = Advice(Window(NOW - 2 * DAY, NOW - DAY), NOW - DAY)
    assert plan(LIFE, NOW, advice=now, fraction=0).at == NOW + dt.timedelta(hours=1)
    old = plan(LIFE, NOW + 5 * DAY, advice=now, fraction=0)
    assert old.at <= NOW + 5 * DAY
    assert old.why is Why.ADVICE


@given(
    LIVES,
    FRACTIONS,
    st.none() | st.timedeltas(-10 * DAY, 800 * DAY),
    st.none() | st.timedeltas(-DAY, 500 * DAY),
    st.floats(0, 1.2),
)
def test_always_in_time(
    life: Life, fraction: float, advice: dt.timedelta | None, before: dt.timedelta | None, age: float
) -> None:
    """Whatever is advised and asked for, renewal starts while a twentieth of the life is left, or at once."""
    now = life.start + life.length * age
    at = None if advice is None else life.start + advice
    given_advice = None if at is None else Advice(Window(at, at + DAY), at)
    found = plan(life, now, advice=given_advice, fraction=fraction, renew_before=before)
    assert found.at <= max(now, life.end - life.length / 20)
    # The plan is the same at each call until the emergency: nothing is drawn again.
    if found.why is not Why.EMERGENCY:
        assert found == plan(life, life.start, advice=given_advice, fraction=fraction, renew_before=before)
