"""What is installed, and how istiod, mesh-signer and cert-manager are set."""

from datetime import timedelta
from typing import Any

import pytest

from signer.api.issuer import IssuerRef
from signer.commands.checks.facts import or_near
from signer.commands.checks.injection import check_injection
from signer.commands.checks.install import (
    CONTROLLERS_CRDS,
    NEEDED_CRDS,
    check_cert_manager,
    check_crds,
    check_gaps,
    check_namespaces,
    check_ourselves,
)
from signer.commands.checks.istiod import check_istiod, check_multiroot
from signer.commands.command import WALL_OPTIONS
from signer.commands.live import Json, Listing
from signer.settings.values import Settings, settings_from
from signer.tenancy.world import Policy
from tests.unit.commands.meshes import ALL, deployment, entries, facts, mesh, named, whats
from tests.unit.tenancy.worlds import DEFAULT, FOO, world

CRDS = (*NEEDED_CRDS, *CONTROLLERS_CRDS, "proxyconfigs.networking.istio.io")
GATE = "--feature-gates=A=true,ExperimentalCertificateSigningRequestControllers=true"
HEALTHY = {
    "EXTERNAL_CA": "ISTIOD_RA_KUBERNETES_API",
    "CERT_SIGNER_DOMAIN": "clusterissuers.cert-manager.io",
    "PILOT_CERT_PROVIDER": "k8s.io/clusterissuers.cert-manager.io/istio-system",
}


def crd(name: str, established: str = "True") -> Json:
    found = named(
        "CustomResourceDefinition", name, status={"conditions": [{"type": "Established", "status": established}]}
    )
    found["metadata"]["annotations"] = {"mesh-signer.dev/crds": "1"}
    return found


def test_crds() -> None:
    """Each definition that is missing or not served is an error; without Istio's, nobody can claim anything."""
    assert list(check_crds(facts(crds=map(crd, CRDS)))) == []
    found = whats(check_crds(facts(crds=[crd(name, "False") for name in CRDS[1:-1]])))
    assert found[0] == "error: signerpolicies.mesh-signer.dev is not installed"
    assert found[1] == "error: signerbindings.mesh-signer.dev is not served"
    assert found[-1].startswith("warning: Istio's ProxyConfigs are not installed")
    theirs = [named("CustomResourceDefinition", name, status=crd(name)["status"]) for name in CRDS]
    assert [one.severity for one in check_crds(facts(crds=theirs))] == ["note"]
    for controllers, severity in ((True, "error"), (False, "warning")):
        ours = [deployment("mesh-signer-controllers", "cert-manager")] if controllers else []
        lacking = facts(crds=[crd(name) for name in CRDS if name not in CONTROLLERS_CRDS], deployments=ours)
        assert {one.severity for one in check_crds(lacking)} == {severity}, "they matter where the controllers run"
    assert [one.severity for one in check_crds(facts(crds=Listing(problem="no")))] == ["unknown"]


def ourselves(*args: str, env: dict[str, str] | None = None, **changes: Any) -> list[str]:
    ours = [
        deployment(name, "cert-manager", args=args, env=env, **changes)
        for name in ("mesh-signer", "mesh-signer-controllers")
    ]
    return whats(check_ourselves(facts(deployments=ours[:1])))


def test_our_deployment() -> None:
    """A signer that is missing or has no replica is told; one that runs as this command thinks is fine."""
    assert ourselves("run", "--grace=24h", "--cluster-resource-namespace=$(POD_NAMESPACE)", "--bind=$(X)") == []
    assert ourselves(available=0)[0].startswith("error: Deployment cert-manager/mesh-signer has no available replica")
    assert whats(check_ourselves(facts(deployments=[])))[0].startswith("warning: there is no Deployment")
    assert whats(check_ourselves(facts(deployments=Listing(problem="no"))))[0].startswith("unknown")


@pytest.mark.parametrize(
    ("args", "env", "text"),
    [
        (["--tenancy=off"], {}, "error: it runs with --tenancy=off"),
        (["--tenancy", "off"], {}, "error: it runs with --tenancy=off"),
        ([], {"MESH_SIGNER_TENANCY": "off"}, "error: it runs with --tenancy=off"),
        (
            ["--tenancy=audit", "--audit-until=2027-01-01T00:00:00Z"],
            {},
            "warning: it runs with --tenancy=audit until 2027",
        ),
        (
            ["--istio-namespace=mesh"],
            {},
            "error: it runs with --istio-namespace=mesh, and this command with istio-system: there is no namespace mesh",
        ),
        (["--istio-namespace=$(NS)"], {"NS": "mesh"}, "error: it runs with --istio-namespace=mesh"),
        (["--grace=1h"], {}, "warning: it runs with --grace=1h, and this command with 24h"),
        (["--grace=x"], {}, "error: it has a setting that cannot be used, so that it does not start: --grace: 'x'"),
        (["--istiod-accounts=istiod"], {}, "error: it has a setting that cannot be used"),
        (["--grace=$(X)"], {"Y": "1h"}, "error: it has a setting"),
    ],
)
def test_our_settings(args: list[str], env: dict[str, str], text: str) -> None:
    """A wall that is off, or one that is set in another way than this command, is told, wherever that is set."""
    (found,) = ourselves(*args, env=env)
    assert found.startswith(text)


OTHERS = {
    "cluster-resource-namespace": "pki",
    "allow-ca-requests": "false",
    "auto-approve": "false",
    "unbound": "deny",
    "grace": "1h",
    "istio-namespace": "mesh",
    "istiod-accounts": "system:serviceaccount:mesh:istiod",
    "cert-signer-domain": "issuers.cert-manager.io",
    "max-workload-lifetime": "1h",
    "istiod-dns-names": "istiod.example.com",
    "shared-mesh-config": "shared",
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_option_is_compared(name: str) -> None:
    """An option that one of the two has and the other has not, or has otherwise, is told in both directions."""
    assert set(OTHERS) == set(WALL_OPTIONS) - {"kubeconfig", "tenancy", "audit-until"}
    owner = "mesh-signer-controllers" if name == "auto-approve" else "mesh-signer"
    given = settings_from({name.replace("-", "_"): OTHERS[name]}, {}, host="", process=0)
    base = {"signer": [f"--cluster-resource-namespace={given.cluster_resource_namespace}"]}["signer"]

    def told(here: Settings, *args: str) -> list[str]:
        namespace = here.cluster_resource_namespace
        ours = [deployment(one, namespace, args=args) for one in ("mesh-signer", "mesh-signer-controllers")]
        found = check_ourselves(facts(settings=here, deployments=ours))
        return [one.what for one in found if one.where == f"Deployment {namespace}/{owner}"]

    assert told(Settings()) == told(given, f"--{name}={OTHERS[name]}", *base) == []
    (there,) = told(Settings(), f"--{name}={OTHERS[name]}")
    assert there.startswith(f"it runs with --{name}={OTHERS[name]}, and this command with ")
    (here,) = told(given)
    assert here.startswith(f"it runs with --{name}=")
    assert "the default, and this command with " in here


@pytest.mark.parametrize("name", ["istio-namespace", "cluster-resource-namespace", "istiod-accounts"])
@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("owner", ["mesh-signer", "mesh-signer-controllers"])
def test_a_mistyped_setting(name: str, owner: str, *, right: bool) -> None:
    """Where a Deployment's value can be nothing of this cluster that one is to be corrected, not this command's."""
    value = "shop" if right else "istio-sytem"
    if name == "istiod-accounts":
        value = f"system:serviceaccount:{'istio-system' if right else value}:istiod"
    istiod = deployment("istiod", "istio-system", serviceAccountName="istiod")
    here = [deployment(owner, "cert-manager", args=[f"--{name}={value}"]), istiod]
    found = [one for one in check_ourselves(facts(deployments=here)) if one.code == "SettingDiffers"]
    assert [one.severity for one in found] == ["warning" if right else "error"]
    for one in found:
        assert one.mend.startswith(
            f"give this command --{name}" if right else f"correct --{name} of Deployment cert-manager/"
        )


def test_options_of_one_deployment() -> None:
    """What only one of the two goes by is not asked of the other."""
    ours = [deployment(one, "cert-manager") for one in ("mesh-signer", "mesh-signer-controllers")]
    found = list(
        check_ourselves(facts(settings=Settings(allow_ca_requests=False, auto_approve=False), deployments=ours))
    )
    assert [(one.where, one.what.partition("=")[0]) for one in found] == [
        ("Deployment cert-manager/mesh-signer", "it runs with --allow-ca-requests"),
        ("Deployment cert-manager/mesh-signer-controllers", "it runs with --auto-approve"),
    ]


def test_an_option_from_elsewhere() -> None:
    """An option whose value stands in a Secret or a ConfigMap is "not checked", and never taken for the default."""
    one = deployment("mesh-signer", "cert-manager")
    one["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "MESH_SIGNER_GRACE", "valueFrom": {}}]
    assert whats(check_ourselves(facts(deployments=[one])))[0].startswith(
        "unknown: its --grace is taken from elsewhere"
    )


def test_same_settings() -> None:
    """Given what the signer was given, there is nothing to tell."""
    ours = deployment("mesh-signer", "cert-manager", args=["--istio-namespace=mesh", "--grace=60m"])
    same = Settings(istio_namespace="mesh", grace=timedelta(hours=1))
    assert list(check_ourselves(facts(settings=same, deployments=[ours]))) == []


def cert_manager(*args: str) -> list[str]:
    return whats(check_cert_manager(facts(deployments=[deployment("cert-manager", "cm", args=args)])))


def test_cert_manager_beside_us() -> None:
    """cert-manager's CSR controllers are found by their gate, unless they are switched off one by one."""
    assert cert_manager() == []
    assert cert_manager("--feature-gates=ExperimentalCertificateSigningRequestControllers=false") == []
    assert cert_manager(GATE)[0].startswith("error: cert-manager answers CertificateSigningRequests too")
    assert cert_manager("--feature-gates=AllAlpha=true")
    assert cert_manager(GATE, "--controllers=*,-certificatesigningrequests-issuer-ca") == []
    assert cert_manager(GATE, "--controllers=issuers,certificates") == []
    assert cert_manager(GATE, "--controllers=*")


def test_gaps() -> None:
    """What could not be read is "not checked"; what could not be understood is to be mended."""
    here = mesh(
        world(config=entries(*ALL, problems=("ConfigMap x: bad",))),
        gaps=("namespaces may not be read",), remarks=("ProxyConfig cannot be read: y",), unread=frozenset({DEFAULT}),
    )  # fmt: skip
    found = whats(check_gaps(facts(here)))
    assert found == [
        "unknown: namespaces may not be read",
        "warning: ProxyConfig cannot be read: y",
        "unknown: the CAs of ClusterIssuer istio-system were not checked: their Secrets may not be read (get secrets)",
        "warning: ConfigMap x: bad",
    ]


def istiod(env: dict[str, str] | None = None, **changes: Any) -> list[str]:
    return whats(check_istiod(facts(deployments=[deployment("istiod", "istio-system", env=env, **changes)])))


def test_istiod() -> None:
    """An istiod that is set as the Istio task says has no problems found; what makes it ask nobody, or another, is told."""
    assert istiod(HEALTHY) == []
    assert "EXTERNAL_CA" in istiod(HEALTHY | {"EXTERNAL_CA": ""})[0]
    assert "CERT_SIGNER_DOMAIN is 'x'" in istiod(HEALTHY | {"CERT_SIGNER_DOMAIN": "x"})[0]
    assert "ENABLE_CA_SERVER is off" in istiod(HEALTHY | {"ENABLE_CA_SERVER": "false"})[0]
    assert istiod(HEALTHY | {"ISTIO_MULTIROOT_MESH": "true"})[0].startswith("error: ISTIO_MULTIROOT_MESH is on")
    missing = istiod(HEALTHY | {"PILOT_CERT_PROVIDER": "k8s.io/clusterissuers.cert-manager.io/none"})
    assert [line.partition(": ")[0] for line in missing] == ["error", "error"]
    assert istiod(HEALTHY | {"PILOT_CERT_PROVIDER": "istiod"}) == []


def test_one_signer_for_all() -> None:
    """K8S_SIGNER must name a signer of ours that is there and is the mesh default; else the workloads that name none are lost."""
    name = "clusterissuers.cert-manager.io/istio-system"
    assert istiod(HEALTHY | {"K8S_SIGNER": name}) == []
    (other,) = istiod(HEALTHY | {"K8S_SIGNER": "clusterissuers.cert-manager.io/foo"})
    assert other.startswith("error: K8S_SIGNER names ClusterIssuer foo, which is not the mesh default")
    assert [line.partition(": ")[0] for line in istiod(HEALTHY | {"K8S_SIGNER": f"{name}-2"})] == ["error", "error"]
    (foreign,) = istiod(HEALTHY | {"K8S_SIGNER": "example.com/x"})
    assert foreign.startswith("warning: K8S_SIGNER is 'example.com/x'")


def test_one_name_for_many_tenants() -> None:
    """K8S_SIGNER may name what a SignerPolicy routes by identity: no issuer has to be there, and whoever is not in the mesh needs no CA.

    A name that is mistyped is told once, with the one that is meant.
    """
    door = IssuerRef("ClusterIssuer", "", "mesh")
    policies = (
        Policy("door", frozenset({door}), route="Identity"),
        Policy("foo", frozenset({FOO}), namespaces=frozenset({"foo"})),
    )
    found = mesh(world(claimed={}, policies=policies, config=entries(*ALL), routed=frozenset({door})))
    env = HEALTHY | {"K8S_SIGNER": "clusterissuers.cert-manager.io/mesh"}
    told = list(check_istiod(facts(found, deployments=[deployment("istiod", "istio-system", env=env)])))
    assert told == []
    for name in (
        "",
        "clusterissuers.cert-manager.io/istio-system",
        "clusterissuers.cert-manager.io/mehs",
        "clusterissuers.cert-manager.io/fo",
        "example.com/mesh",
    ):
        env = HEALTHY | ({"K8S_SIGNER": name} if name else {})
        told = list(check_istiod(facts(found, deployments=[deployment("istiod", "istio-system", env=env)])))
        assert [one.code for one in told] == ["RoutedSignerNotAsked"]
        assert "set K8S_SIGNER=clusterissuers.cert-manager.io/mesh" in told[0].mend


@pytest.mark.parametrize(
    ("written", "meant"), [("fooo", "foo"), ("mehs", ""), ("fo-zone", ""), ("istio-sytem", "istio-system")]
)
def test_which_issuer_is_meant(written: str, meant: str) -> None:
    """An issuer is asked for where its name is near; what all names of issuers have in common makes no other one near."""
    mend = or_near(facts(mesh()), IssuerRef("ClusterIssuer", "", written), "make it")
    assert mend == (f"correct the name if ClusterIssuer {meant} is meant; else make it" if meant else "make it")


@pytest.mark.parametrize(
    ("account", "told"), [("istiod", False), ("istiod-1-28", True), ("default", True), ("", False)]
)
def test_who_istiod_is(account: str, told: bool) -> None:
    """An istiod whose user may not ask for workloads is told, with the option that lets it."""
    found = [one for one in istiod(HEALTHY, serviceAccountName=account) if "requests for signers of the mesh" in one]
    assert bool(found) == told


def test_a_name_that_is_nearly_another() -> None:
    """Where a name may be misspelt, the remedy asks that first, before something is made by that name."""
    env = HEALTHY | {"PILOT_CERT_PROVIDER": "k8s.io/clusterissuers.cert-manager.io/istio-systen"}
    found = list(check_istiod(facts(deployments=[deployment("istiod", "istio-system", env=env)])))
    assert all(one.mend.startswith(f"correct the name if {DEFAULT} is meant; else ") for one in found)


def test_istiods_of_all_revisions() -> None:
    """Every istiod in Istio's namespace is looked at, whatever its revision; none at all is told."""
    found = [deployment(name, "istio-system") for name in ("istiod", "istiod-canary")]
    where = {one.where for one in check_istiod(facts(deployments=found))}
    assert where == {"Deployment istio-system/istiod", "Deployment istio-system/istiod-canary"}
    assert whats(check_istiod(facts(deployments=[deployment("istiod", "elsewhere")])))[0].startswith(
        "warning: there is no istiod"
    )
    assert whats(check_istiod(facts(deployments=Listing(problem="no"))))[0].startswith("unknown")


def test_settings_from_elsewhere() -> None:
    """What is taken from a Secret or a ConfigMap is "not checked", and never taken for missing."""
    one = deployment("istiod", "istio-system", env=HEALTHY)
    container = one["spec"]["template"]["spec"]["containers"][0]
    container["env"][0] = {"name": "EXTERNAL_CA", "valueFrom": {"configMapKeyRef": {}}}
    container["envFrom"] = [{"configMapRef": {"name": "x"}}]
    found = whats(check_istiod(facts(deployments=[one])))
    assert len(found) == 2
    assert all(line.startswith("unknown: ") for line in found)


def test_external_ca_cert() -> None:
    """A mounted external-ca-cert gives all workloads one root; the chart's optional mount is not that."""
    optional = [{"name": "external-ca-cert", "secret": {"optional": True}}]
    assert istiod(HEALTHY, volumes=optional) == []
    assert istiod(HEALTHY, volumes=[{"name": "external-ca-cert", "secret": {}}])[0].startswith(
        "warning: external-ca-cert"
    )


def test_multiroot_agents() -> None:
    """Proxies that would take all tenants' roots are named; together with istiod's setting it is an error."""
    variables = {"environmentVariables": {"PROXY_CONFIG_XDS_AGENT": "true"}}
    proxy_config = named("ProxyConfig", "pc", "foo", spec=variables)
    text = "defaultConfig: {proxyMetadata: {PROXY_CONFIG_XDS_AGENT: 'true'}}"
    here = mesh(texts={"istio": text, "istio-x": ": bad ["})
    (found,) = check_multiroot(facts(here, proxy_configs=[proxy_config]))
    assert (found.severity, found.where) == ("warning", "ConfigMap istio-system/istio, ProxyConfig foo/pc")
    on = deployment("istiod", "istio-system", env={"ISTIO_MULTIROOT_MESH": "true"})
    assert [one.severity for one in check_multiroot(facts(here, proxy_configs=[proxy_config], deployments=[on]))] == [
        "error"
    ]
    assert list(check_multiroot(facts(deployments=[on]))) == []


def test_issuers_signer_domain() -> None:
    """Istiod under the domain of Issuers is what a command with that domain expects."""
    env = HEALTHY | {
        "CERT_SIGNER_DOMAIN": "issuers.cert-manager.io",
        "PILOT_CERT_PROVIDER": "k8s.io/issuers.cert-manager.io/a.b",
    }
    ref = IssuerRef("Issuer", "a", "b")
    found = check_istiod(
        facts(
            mesh(world(config=entries(*ALL))),
            settings=Settings(cert_signer_domain="issuers.cert-manager.io"),
            deployments=[deployment("istiod", "istio-system", env=env)],
        )
    )
    assert all(str(ref) in one for one in whats(found))


ASKS = named("ValidatingWebhookConfiguration", "hook")
ASKS["metadata"]["annotations"] = {"cert-manager.io/inject-ca-from": "a/b"}
INJECTOR_POLICY = [{"metadata": {"name": "ca-injector.mesh-signer.dev"}}]
INJECTOR_BINDING = [{"metadata": {"name": "x"}, "spec": {"policyName": "ca-injector.mesh-signer.dev"}}]
OURS = deployment("mesh-signer-ca-injector", "cert-manager", args=["--controllers=cainjector"])
ANSWERS = deployment("mesh-signer-controllers", "cert-manager", args=["--controllers=certificates,casources"])
THEIRS = deployment("cainjector", "cm", labels={"app.kubernetes.io/name": "cainjector"})


@pytest.mark.parametrize(
    ("deployments", "asking", "found"),
    [
        ([], [ASKS], ["warning: one object asks for a CA"]),
        ([], [ASKS, ASKS], ["warning: 2 objects ask for a CA"]),
        ([], [], []),
        ([OURS, ANSWERS], [ASKS], []),
        ([THEIRS], [ASKS], []),
        ([OURS, ANSWERS, THEIRS], [ASKS], ["warning: cert-manager's cainjector runs too"]),
        ([OURS], [ASKS], ["error: the CA injector gets no answers"]),
        ([deployment("mesh-signer", "x", args=["--controllers=*"])], [ASKS], []),
        ([deployment("mesh-signer-ca-injector", "x", available=0)], [ASKS], ["warning: one object asks"]),
    ],
)
def test_cas_to_inject(deployments: list[Json], asking: list[Json], found: list[str]) -> None:
    """Objects that ask for a CA are named where nobody injects it, as are two who do, and one that gets no answers."""
    policies: dict[str, Any] = {"admission_policies": INJECTOR_POLICY, "admission_bindings": INJECTOR_BINDING}
    told = whats(check_injection(facts(deployments=deployments, injectables=asking, **policies)))
    assert [one.startswith(start) for one, start in zip(told, found, strict=True)] == [True] * len(found)


def test_definitions_that_ask_for_a_ca() -> None:
    """A CustomResourceDefinition counts as well; one that says false does not; what could not be read is told."""
    one = crd("things.example.com")
    for value, count in (("true", 1), ("false", 0)):
        one["metadata"]["annotations"] = {"cert-manager.io/inject-apiserver-ca": value}
        assert len(list(check_injection(facts(crds=[one])))) == count
    assert whats(check_injection(facts(injectables=Listing(problem="no"))))[0].startswith("unknown")


def test_an_injector_without_its_policy() -> None:
    """An injector whose account no admission policy binds is an open door; annotations that name nothing are listed."""
    told = whats(check_injection(facts(deployments=[OURS, ANSWERS])))
    assert told[0].startswith("error: the admission policy ca-injector.mesh-signer.dev is missing")
    wrong = named("APIService", "v1.x")
    wrong["metadata"]["annotations"] = {"cert-manager.io/inject-ca-from": "nothing"}
    policies: dict[str, Any] = {"admission_policies": INJECTOR_POLICY, "admission_bindings": INJECTOR_BINDING}
    (told_of,) = check_injection(facts(deployments=[OURS, ANSWERS], injectables=[wrong], **policies))
    assert told_of.where == "APIService v1.x"
    assert "NAMESPACE/NAME" in told_of.what


@pytest.mark.parametrize("own", ["cert-manager", "absent"])
@pytest.mark.parametrize("istio", ["istio-system", "absent-too"])
def test_the_namespaces_themselves(own: str, istio: str) -> None:
    """A namespace of the installation that is not there is told, with what makes it; nothing is said where none could be read."""
    there = ("cert-manager", "istio-system")
    settings = Settings(cluster_resource_namespace=own, istio_namespace=istio)
    found = list(check_namespaces(facts(mesh(world(config=entries(*ALL), namespaces=there)), settings)))
    assert [one.where for one in found] == [f"namespace {name}" for name in (own, istio) if name.startswith("absent")]
    assert all(one.mend.startswith("kubectl apply -k manifests/namespaces") for one in found)
    assert list(check_namespaces(facts(mesh(world(config=entries(*ALL), namespaces=())), settings))) == []
