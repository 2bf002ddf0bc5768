"""What the page is told: what the commands say, of bounded size, harmless, and without a secret."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.hostclaim import HOST_CLAIMS
from signer.commands.checks.examination import examine
from signer.commands.live import Listing
from signer.commands.page.seen import Seen
from signer.commands.page.view import LONGEST, MOST_ROWS, encoded, fit, view
from signer.commands.page.waits import waits
from signer.commands.summary import summary
from signer.commands.tenancies import matrix
from signer.commands.tenancies.holders import document, tenancies
from tests.unit.commands.meshes import state
from tests.unit.commands.page.samples import certificate, cluster, crossing, csr, issuers, seen, signer, warned
from tests.unit.csr.crafted import NOW, ca

BASE: Any = st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | st.text()
VALUES = st.recursive(BASE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=40)


def told(found: Seen) -> Any:
    return json.loads(encoded(view(found)))


def look(value: Any) -> None:
    """No text is long, or has a control character."""
    if isinstance(value, str):
        assert len(value) <= LONGEST + 3
        assert value.isprintable()
    elif isinstance(value, dict):
        for key, one in value.items():
            look(key)
            look(one)
    elif isinstance(value, list):
        for one in value:
            look(one)


def test_tenants_and_findings() -> None:
    """Tenants, parts and findings are those of the commands, word for word."""
    here = seen()
    found = told(here)
    assert found["tenants"]["rows"] == [document(row) for row in tenancies(here.facts.mesh, NOW)]
    assert [row["what"] for row in found["parts"]["rows"]] == [
        row.document["what"] for row in summary(here.facts, here.requests, here.certificates)
    ]
    assert [row["code"] for row in found["findings"]["rows"]] == [one.code for one in examine(here.facts)]
    assert found["gaps"] == []


def test_signers() -> None:
    """A signer has its owner, its policies and its CA's end, and is one of the mesh's or not."""
    rows = {row["issuer"]: row for row in told(seen())["signers"]["rows"]}
    foo = rows["ClusterIssuer foo"]
    assert (foo["owner"], foo["state"], foo["mesh"], foo["subject"]) == ("foo", "ready", True, "CN=foo")
    assert foo["ends"].startswith("2027-02-20")
    assert rows["ClusterIssuer bar"]["policies"] == ["plain"]
    assert rows["ClusterIssuer istio-system"]["default"]


def test_bridges() -> None:
    """A bridge leads from its client to the server's signer, and says whether it stands; its table is that of `tenants --matrix`."""
    here = seen()
    listed = (crossing("True", "Built"), crossing("False", "NotAllowed", "bar"), crossing("True", "Built", "nowhere"))
    found = told(replace(here, facts=replace(here.facts, bridges=Listing(listed))))
    assert found["bridges"]["rows"] == [matrix.document(one) for one in matrix.bridged(listed)]
    shown = found["picture"]
    across = {
        (shown["tenants"][one["tenant"]], shown["signers"][one["signer"]]): (one["status"], one["refused"])
        for one in shown["claims"]
        if one.get("bridge") in {"foo", "bar"}
    }
    assert across == {
        ("istio-system/gateway", "ClusterIssuer foo"): ("bridge to foo", False),
        ("istio-system/gateway", "ClusterIssuer bar"): ("NotAllowed: bridge to bar", True),
    }
    before = told(here)
    assert len(shown["claims"]) == len(before["picture"]["claims"]) + len(listed)
    assert before["bridges"] == {"rows": [], "more": 0, "problem": ""}


def test_bridges_that_cannot_be_read() -> None:
    """What may not be read is told as that; that the kind is not installed is no news."""
    here = seen()
    for listing, problem in ((Listing(problem="no right"), "no right"), (Listing(absent=True), "")):
        found = told(replace(here, facts=replace(here.facts, bridges=listing)))
        assert found["bridges"] == {"rows": [], "more": 0, "problem": problem}


def test_no_secret() -> None:
    """Of a CA's Secret nothing is told but what its certificate says: no key, and no PEM at all."""
    text = encoded(view(seen())).decode()
    assert "PRIVATE" not in text
    assert "BEGIN" not in text
    for name in ("foo", "bar", "one"):
        for line in ca(name).key_pem.decode().splitlines()[1:-1]:
            assert line not in text


def test_what_may_not_be_read() -> None:
    """A right that is missing is told as such, and what hangs on it is neither empty nor a refusal."""
    why = "signerpolicies.mesh-signer.dev may not be read (verb list): no"
    here = seen()
    found = told(replace(here, facts=replace(here.facts, mesh=replace(here.facts.mesh, gaps=(why,)))))
    assert found["gaps"] == [why]
    assert found["tenants"] == {"rows": [], "more": 0, "problem": why}
    assert found["picture"]["claims"] == []


def test_a_ca_that_may_not_be_read() -> None:
    """Whose Secret may not be read is unknown, not refused, and the page says which right is missing."""
    why = "Secret cert-manager/foo-ca may not be read (verb get): no"
    unread = state(signer("foo"), ready=False, authority=None, reason="ErrGetKeyPair", message=why)
    states = [unread if one.ref == signer("foo") else one for one in issuers()]
    here = seen(cluster(states))
    mesh = replace(here.facts.mesh, unread=frozenset({signer("foo")}))
    found = told(replace(here, facts=replace(here.facts, mesh=mesh)))
    assert found["gaps"] == [f"ClusterIssuer foo: {why}"]
    (foo,) = [row for row in found["signers"]["rows"] if row["issuer"] == "ClusterIssuer foo"]
    assert (foo["state"], foo["why"], foo["ends"]) == ("unknown", why, None)
    assert not [row for row in found["waits"]["rows"] if row["kind"] == "ClusterIssuer"]


@pytest.mark.parametrize(
    "changes",
    [
        {"requests": Listing(problem="it may not be read")},
        {"certificate_requests": Listing(problem="it may not be read")},
        {"events_problem": "it may not be read"},
    ],
    ids=str,
)
def test_a_list_that_may_not_be_read(changes: dict[str, Any]) -> None:
    """A list of which nothing is known is told where its rows would stand."""
    found = told(replace(seen(), **changes))
    assert found["waits"]["problem"] == "it may not be read"
    assert found["gaps"] == ["it may not be read"]


def test_hosts() -> None:
    """Where public hosts may not be read, their table says so, and the others are whole."""
    found = told(seen(lists={HOST_CLAIMS: Listing(absent=True)}))
    assert "hostclaims" in found["hosts"]["problem"]
    assert found["tenants"]["rows"]


def test_an_object_that_is_malformed() -> None:
    """One object with a field of a wrong type costs the hosts, and not the page."""
    broken = certificate("a")
    broken["metadata"]["labels"] = 7
    found = told(seen(certificates=[broken]))
    assert "cannot be read" in found["hosts"]["problem"]
    assert found["tenants"]["rows"]


def test_bounded() -> None:
    """However much there is, the page gets so many rows, and how many more there are."""
    found = told(seen(requests=[csr(f"r{index}") for index in range(MOST_ROWS + 20)]))
    assert (len(found["waits"]["rows"]), found["waits"]["more"]) == (MOST_ROWS, 21)  # with the thief's
    assert len(told(seen(claims_of_many()))["picture"]["tenants"]) <= 60


def claims_of_many() -> Any:
    return cluster(claims={f"n{index:03}": f"s{index:03}" for index in range(200)})


HOSTILE: list[Callable[[str], Seen]] = [
    lambda text: seen(requests=[csr(text)]),
    lambda text: seen(certificates=[certificate(text, {"type": "Ready", "status": "False", "message": text})]),
    lambda text: seen(events=[warned(text, reason=text, message=text)]),
]


@pytest.mark.parametrize("place", HOSTILE, ids=["request", "certificate", "event"])
@given(text=st.text(max_size=3000))
def test_hostile_texts(place: Callable[[str], Seen], text: str) -> None:
    """Whatever tenants write comes through as text without control characters, and cut."""
    look(fit([asdict(one) for one in waits(place(text), [])]))


@given(VALUES)
def test_fit(value: Any) -> None:
    """Any value becomes one that JSON can hold, with texts that are harmless, however deep it is."""
    found = fit(value)
    json.dumps(found)
    look(found)
