"""Settings come from the command line, else from the environment; a bad one is told by name."""

import argparse
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from signer.cli import main
from signer.settings.edge import EdgeSettings
from signer.settings.given import SettingsError
from signer.settings.options import GROUPS, add_arguments, add_groups
from signer.settings.values import CONTROLLERS, Settings, settings_from
from signer.tenancy import world
from tests.examples import examples

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def settings(*arguments: str, **environment: str) -> Settings:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    return settings_from(vars(parser.parse_args(arguments)), environment, host="host", process=42)


def test_defaults() -> None:
    """Without any setting we run as cert-manager would: its namespace, all that fits the cluster, everything local."""
    assert settings() == Settings(identity="host-42")


EACH: list[tuple[str, str, str, Any]] = [
    ("kubeconfig", "/k", "kubeconfig", "/k"),
    ("cluster-resource-namespace", "pki", "cluster_resource_namespace", "pki"),
    ("controllers", "csr", "controllers", ("csr",)),
    ("namespace", "mesh", "namespace", "mesh"),
    ("identity", "me", "identity", "me"),
    ("bind", "[::1]:1", "bind", "[::1]:1"),
    ("log-format", "json", "log_format", "json"),
    ("log-level", "debug", "log_level", "debug"),
    ("audit-log", "/a", "audit_log", "/a"),
    ("allow-ca-requests", "false", "allow_ca_requests", False),
    ("auto-approve", "no", "auto_approve", False),
    ("enable-certificate-owner-ref", "true", "enable_certificate_owner_ref", True),
    ("write-window", "7", "write_window", 7),
    ("namespace-memory", "64", "namespace_memory", 64),
    ("drain-seconds", "1.5", "drain_seconds", 1.5),
    ("leader-elect", "0", "leader_elect", False),
    ("gateway-namespaces", "istio-gateways, edge", "edge.gateway_namespaces", frozenset({"istio-gateways", "edge"})),
    ("default-issuer-name", "letsencrypt", "edge.default_issuer_name", "letsencrypt"),
    ("default-issuer-kind", "Issuer", "edge.default_issuer_kind", "Issuer"),
    ("tenancy", "off", "tenancy_mode", "off"),
    ("audit-until", "2027-01-01T01:00:00+01:00", "audit_until", datetime(2027, 1, 1, tzinfo=UTC)),
    ("unbound", "deny", "unbound", "deny"),
    ("grace", "1h30m", "grace", timedelta(minutes=90)),
    ("istio-namespace", "mesh", "istio_namespace", "mesh"),
    (
        "istiod-accounts",
        "system:serviceaccount:mesh:istiod, jane@example.com,",
        "istiod_accounts",
        frozenset({"system:serviceaccount:mesh:istiod", "jane@example.com"}),
    ),
    ("cert-signer-domain", "issuers.cert-manager.io", "cert_signer_domain", "issuers.cert-manager.io"),
    ("max-workload-lifetime", "12h", "max_workload_lifetime", timedelta(hours=12)),
    ("istiod-dns-names", "istiod.example.com", "istiod_dns_names", frozenset({"istiod.example.com"})),
    ("shared-mesh-config", "istio-shared", "shared_mesh_config", "istio-shared"),
    ("audit-failure", "stop", "audit_failure", "stop"),
    ("manage-mesh-config", "true", "manage_mesh_config", True),
    ("tenant-bridges", "true", "tenant_bridges", True),
    ("ca-injector-namespaces", "a, b", "ca_injector_namespaces", frozenset({"a", "b"})),
    ("http01-check-dns", "false", "edge.http01_check_dns", False),
    ("http01-solver-bind", "[::]:8089", "edge.http01_solver_bind", "[::]:8089"),
    ("dns01-recursive-nameservers-only", "true", "edge.dns01_recursive_nameservers_only", True),
    (
        "recursive-nameservers",
        "10.0.0.10, 127.0.0.1:5353,[::1]:54, 2001:db8::1",
        "edge.recursive_nameservers",
        (("10.0.0.10", 53), ("127.0.0.1", 5353), ("::1", 54), ("2001:db8::1", 53)),
    ),
]


@pytest.mark.parametrize(("option", "text", "field", "value"), EACH, ids=[row[0] for row in EACH])
def test_each_in_both_ways(option: str, text: str, field: str, value: object) -> None:
    """Each option is the command line's --some-name and the environment's MESH_SIGNER_SOME_NAME."""
    found = attrgetter(field)
    assert found(settings(f"--{option}={text}")) == value
    assert found(settings(**{"MESH_SIGNER_" + option.replace("-", "_").upper(): text})) == value


def test_none_is_missing_in_the_table() -> None:
    """The table above has every setting."""
    edge = {f"edge.{name}" for name in EdgeSettings.__struct_fields__}
    assert {row[2] for row in EACH} == (set(Settings.__struct_fields__) - {"edge", "changed"}) | edge


def test_the_command_line_wins() -> None:
    """An option beats its variable."""
    assert settings("--write-window=7", MESH_SIGNER_WRITE_WINDOW="9").write_window == 7


def test_a_pods_own_names() -> None:
    """In a Pod identity and namespace are the Pod's, unless they are given."""
    pod = {"POD_NAME": "signer-x", "POD_NAMESPACE": "mesh-signer"}
    found = settings(**pod)
    assert (found.identity, found.namespace, found.cluster_resource_namespace) == (
        "signer-x",
        "mesh-signer",
        "cert-manager",
    )
    found = settings("--identity=me", "--namespace=other", **pod)
    assert (found.identity, found.namespace) == ("me", "other")


def test_leases_beside_the_secrets() -> None:
    """Outside a Pod our Leases lie in the cluster resource namespace."""
    assert settings("--cluster-resource-namespace=pki").namespace == "pki"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", None),
        (" , ", None),
        ("*", CONTROLLERS),
        ("csr,*", CONTROLLERS),
        ("issuers, csr", ("csr", "issuers")),
        ("certificaterequests,certificates,issuers", ("issuers", "certificates", "certificaterequests")),
    ],
)
def test_controllers(text: str, names: tuple[str, ...] | None) -> None:
    """Controllers are named in any order; none means what fits the cluster."""
    assert settings(f"--controllers={text}").controllers == names


@pytest.mark.parametrize(
    ("controllers", "component"),
    [
        ("", "all"),
        ("*", "all"),
        ("csr", "signer"),
        ("csr,policies", "signer"),
        ("issuers,certificates,certificaterequests", "controllers"),
        ("cainjector", "ca-injector"),
        ("issuers,cainjector", "controllers"),
    ],
)
def test_component(controllers: str, component: str) -> None:
    """What a process does has one word, by which its metrics can be told from those of the others."""
    assert settings(f"--controllers={controllers}").component == component


def test_what_is_not_the_default() -> None:
    """What was given and differs from the default is known, from the command line and the environment alike, and nothing else."""
    found = settings("--log-format=json", "--log-level=info", "--write-window=7", MESH_SIGNER_UNBOUND="deny")
    assert dict(found.changed) == {"log-format": "json", "write-window": "7", "unbound": "deny"}
    assert settings().changed == ()


BAD = [
    (
        "controllers",
        "csr,csrs",
        "--controllers: 'csrs' is not one of csr, podcertificates, issuers, certificates, certificaterequests, acmeissuers, orders, challenges, gateways, casources, policies, trustbundles, cainjector",
    ),
    ("allow-ca-requests", "maybe", "--allow-ca-requests: 'maybe' is neither true nor false"),
    ("leader-elect", "", "--leader-elect: '' is neither true nor false"),
    (
        "recursive-nameservers",
        "dns.example.com:53",
        "--recursive-nameservers: 'dns.example.com:53' is not an IP address, with or without a port",
    ),
    ("recursive-nameservers", "10.0.0.1:0", "--recursive-nameservers: '10.0.0.1:0' has no port from 1 to 65535"),
    ("recursive-nameservers", "10.0.0.1:x", "--recursive-nameservers: '10.0.0.1:x' has no port from 1 to 65535"),
    ("write-window", "many", "--write-window: 'many' is not a number"),
    ("write-window", "0", "--write-window: 0 is not between 1 and 1024"),
    ("write-window", "nan", "--write-window: nan is not between 1 and 1024"),
    ("drain-seconds", "-1", "--drain-seconds: -1 is not between 0 and 3600"),
    ("drain-seconds", "inf", "--drain-seconds: inf is not between 0 and 3600"),
    ("bind", "9402", "--bind: '9402' is neither ADDRESS:PORT nor none"),
    ("bind", "localhost:http", "--bind: 'localhost:http' is neither ADDRESS:PORT nor none"),
    ("bind", ":65536", "--bind: ':65536' is neither ADDRESS:PORT nor none"),
    ("bind", "::1:9402", "--bind: an IPv6 address needs brackets, as in [::1]:9402"),
    ("cluster-resource-namespace", "", "--cluster-resource-namespace: '' is not a valid namespace name"),
    ("cluster-resource-namespace", "a/b", "--cluster-resource-namespace: 'a/b' is not a valid namespace name"),
    ("audit-until", "tomorrow", "--audit-until: 'tomorrow' is not a time, as 2026-12-31T00:00:00Z is"),
    (
        "audit-until",
        "2027-01-01T00:00:00",
        "--audit-until: '2027-01-01T00:00:00' is not a time, as 2026-12-31T00:00:00Z is",
    ),
    ("grace", "1d", "--grace: '1d' is not a duration such as 24h or 90m"),
    ("grace", "-1s", "--grace: -1s is not between 0s and 720h0m0s"),
    ("grace", "721h", "--grace: 721h is not between 0s and 720h0m0s"),
    ("max-workload-lifetime", "59s", "--max-workload-lifetime: 59s is not between 1m0s and 2160h0m0s"),
    ("istio-namespace", "Istio", "--istio-namespace: 'Istio' is not a valid namespace name"),
    (
        "istiod-accounts",
        "system:serviceaccount:istiod",
        (
            "--istiod-accounts: 'system:serviceaccount:istiod' is not a user name "
            "(a service account is system:serviceaccount:NAMESPACE:NAME)"
        ),
    ),
    ("istiod-dns-names", "istiod.svc,*.svc", "--istiod-dns-names: '*.svc' is not a valid DNS name"),
    ("shared-mesh-config", "a_b", "--shared-mesh-config: 'a_b' is not a valid ConfigMap"),
]


@pytest.mark.parametrize(("option", "text", "message"), BAD)
def test_bad(option: str, text: str, message: str) -> None:
    """A setting that cannot be used is told by its name, with what was given, from either place."""
    for found in ((f"--{option}={text}",), ()):
        environment = {} if found else {"MESH_SIGNER_" + option.replace("-", "_").upper(): text}
        with pytest.raises(SettingsError) as caught:
            settings(*found, **environment)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    "option", ["log-format", "log-level", "tenancy", "unbound", "cert-signer-domain", "audit-failure"]
)
def test_bad_choice_in_the_environment(option: str) -> None:
    """A choice that the command line would refuse is refused from the environment too."""
    name = "MESH_SIGNER_" + option.replace("-", "_").upper()
    with pytest.raises(SettingsError, match=f"^--{option}: 'loud' is not one of"):
        settings(**{name: "loud"})


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "Yes"])
def test_true(text: str) -> None:
    """Truth may be spelt in some ways."""
    assert settings(f"--enable-certificate-owner-ref={text}").enable_certificate_owner_ref


class TestTenancy:
    """The wall's settings."""

    def test_the_wall_stands_by_default(self) -> None:
        """Who sets nothing gets the wall, as `tenancy.world` has it by default."""
        assert settings().tenancy() == world.Settings()

    def test_what_the_wall_is_given(self) -> None:
        """What was set arrives where the wall reads it."""
        found = settings(
            "--tenancy=audit",
            "--audit-until=2026-11-24T00:00:00Z",
            "--unbound=deny",
            "--grace=0",
            "--istio-namespace=mesh",
            "--istiod-accounts=jane@example.com",
            "--cert-signer-domain=issuers.cert-manager.io",
            "--cluster-resource-namespace=pki",
            "--max-workload-lifetime=1h",
            "--istiod-dns-names=istiod.example.com",
        ).tenancy()
        assert found == world.Settings(
            "audit",
            NOW + timedelta(days=1),
            "deny",
            timedelta(0),
            "mesh",
            frozenset({"jane@example.com"}),
            "issuers.cert-manager.io",
            "pki",
            timedelta(hours=1),
            frozenset({"istiod.example.com"}),
        )

    def test_audit_has_an_end(self) -> None:
        """Audit mode without an end would be a wall that is never built."""
        with pytest.raises(SettingsError, match=r"^--audit-until: --tenancy=audit needs it"):
            settings("--tenancy=audit")

    def test_a_mesh_config_needs_the_wall(self) -> None:
        """Where nothing of the mesh is read, nothing of it can be kept."""
        with pytest.raises(
            SettingsError, match=r"^--manage-mesh-config: with --tenancy=off nothing of the mesh is read$"
        ):
            settings("--manage-mesh-config=true", "--tenancy=off")

    def test_bridges_need_the_wall(self) -> None:
        """Where there are no tenants, none can be joined."""
        with pytest.raises(SettingsError, match=r"^--tenant-bridges: with --tenancy=off there are no tenants"):
            settings("--tenant-bridges=true", "--tenancy=off")

    def test_audit_that_is_over(self) -> None:
        """A Pod that starts again after the end of audit mode enforces; it does not stay away from the mesh."""
        read = settings("--tenancy=audit", "--audit-until=2026-11-22T00:00:00Z")
        assert read.tenancy().enforces(NOW)
        assert settings("--audit-until=2026-11-23T00:00:00Z").tenancy_mode == "enforce"


def odd(*bad: str, good: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return bad, good


NAMES = odd("cert manager", "Istio", "a/b", "a_b", "-a", "a-", "a.b", "x" * 64, "é", good=("a", "x" * 63, "0"))
ACCOUNT = "system:serviceaccount:istio-system:istiod"
USERS = odd(
    "istiod", "istio-system/istiod", "istiod-1-28", "system:serviceaccount:istiod", "system:serviceaccount:istio-system/istiod",
    "system:serviceaccount::istiod", "system:serviceaccount:istio-system:", "system:serviceaccounts:istio-system",
    "system:serviceaccounts", "system:authenticated", "system:masters", "a b@c", "Istiod", f"{ACCOUNT}:x",
    "system:serviceaccount:Istio:istiod",
    good=(ACCOUNT, f"{ACCOUNT}-1-28", "jane@example.com", "oidc:istiod", "system:node:worker-1", "CN:a"),
)  # fmt: skip
HOSTS = odd(
    "https://istiod.example.com", "istiod:15012", "10.0.0.1", "*.svc", "Istiod.svc", "a..b", ".a", "a.", "x" * 64 + ".svc", "a b",
    "[::1]",
    good=("istiod", "istiod.istio-system.svc", "istiod-1-28.example.com", "1.a", "x" * 63 + ".svc"),
)  # fmt: skip
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "namespace": NAMES,
    "cluster-resource-namespace": NAMES,
    "istio-namespace": NAMES,
    "gateway-namespaces": NAMES,
    "ca-injector-namespaces": NAMES,
    "istiod-accounts": USERS,
    "istiod-dns-names": HOSTS,
    "shared-mesh-config": odd("a b", "a/b", "A", "a_b", "-", good=("a", "a.b")),
    "default-issuer-name": odd("a b", "ClusterIssuer/a", "A", good=("a", "a.b")),
    "identity": odd("a b", "a\nb", "x" * 254, good=("a", "A_b.c")),
    "bind": odd(
        "a b:1", "http://a:1", "127.0.0.1", "a:b:1", "[x]:1", "a_b:1", good=(":1", "0.0.0.0:1", "[::]:1", "none")
    ),
    "http01-solver-bind": odd("a b:1", "x", good=("none", "0.0.0.0:1", "localhost:1")),
    **{
        name: odd(good[0].capitalize(), good[0] + "s", "loud", good=good)
        for name, good in {
            "tenancy": ("enforce", "off"),
            "unbound": ("allow", "deny"),
            "cert-signer-domain": ("clusterissuers.cert-manager.io", "issuers.cert-manager.io"),
            "audit-failure": ("stop", "continue"),
            "log-format": ("json", "text"),
            "log-level": ("debug", "info"),
        }.items()
    },
    **dict.fromkeys(("grace", "max-workload-lifetime"), odd("1d", "24", "one hour", "-1h", good=("1h", "90m"))),
}


@pytest.mark.parametrize("option", KINDS)
@given(before=st.sampled_from(["", "istiod@example.com,"]), data=st.data())
@hypothesis_settings(max_examples=examples(40))
def test_what_cannot_be_right(option: str, before: str, data: st.DataObject) -> None:
    """A value that can name nothing is refused at the start, in one line that names option and value; others are taken."""
    bad, good = KINDS[option]
    before = before if option == "istiod-accounts" else ""
    wrong, right = data.draw(st.sampled_from(bad)), data.draw(st.sampled_from(good))
    for places in (
        (f"--{option}={before}{wrong}", {}),
        ("", {"MESH_SIGNER_" + option.replace("-", "_").upper(): before + wrong}),
    ):
        argument, environment = places
        with pytest.raises(SettingsError) as caught:
            settings(*filter(None, [argument]), **environment)
        assert str(caught.value).startswith(f"--{option}: ")
        assert "\n" not in str(caught.value)
    settings(f"--{option}={before}{right}")


def test_accounts_without_a_namespace() -> None:
    """The message for a service account's name alone has the form that is needed."""
    with pytest.raises(SettingsError, match="a service account is system:serviceaccount:NAMESPACE:NAME"):
        settings("--istiod-accounts=istiod")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("MESH_SIGNER_GRACES", "MESH_SIGNER_GRACES: there is no such setting: is MESH_SIGNER_GRACE meant?"),
        (
            "MESH_SIGNER_TENANCY_MODE",
            "MESH_SIGNER_TENANCY_MODE: there is no such setting: is MESH_SIGNER_TENANCY meant?",
        ),
        ("MESH_SIGNER_X", "MESH_SIGNER_X: there is no such setting (docs/operations.md lists them)"),
        ("MESH_SIGNER_PORT_", None),
    ],
)
def test_unknown_variables(name: str, told: str | None) -> None:
    """A variable that is no setting is refused: whoever misspells one would believe that it counts."""
    with pytest.raises(SettingsError) as caught:
        settings(**{name: "1h"})
    assert told is None or str(caught.value) == told


@pytest.mark.parametrize(
    "name",
    [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_METRICS",
        "PORT",
        "PORT_9402_TCP",
        "PORT_9402_TCP_ADDR",
        "SOLVER_SERVICE_HOST",
    ],
)
def test_variables_of_services(name: str) -> None:
    """What Kubernetes sets for a Service named mesh-signer is no setting of anybody's."""
    assert settings(**{f"MESH_SIGNER_{name}": "tcp://10.0.0.1:9402"}) == settings()


@pytest.mark.parametrize("line", [["run", "--tenancy=Enforce"], ["run", "--graces=1h"], ["doctor", "x"], ["runs"], []])
def test_one_line(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is wrong with a command line is told in one line, with status 2."""
    try:
        status = main(line)
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_each_option_has_its_group() -> None:
    """`run --help` shows every option once, and each in a group."""
    whole, grouped = argparse.ArgumentParser(), argparse.ArgumentParser()
    add_arguments(whole)
    add_groups(grouped)
    listed = [name for names in GROUPS.values() for name in names]
    assert len(listed) == len(set(listed))
    assert {one.dest for one in grouped._actions} == {one.dest for one in whole._actions}
    loose = grouped._action_groups[1]
    assert [one.dest for one in loose._group_actions] == ["help"]
