"""The admission policies of manifests/components/edge on a real API server: what the controllers' own token can do."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from signer.edge.hosts.decide import Take, new_claim
from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE
from signer.edge.http01.redirect import giving_back, taking
from tests.integration.edge_policies import (
    CONTROLLERS,
    FOLDER,
    GRANT,
    HOST,
    HTTP_ROUTE,
    INGRESS,
    OWN_GATEWAY,
    RECORD,
    ROLE,
    ROUTE,
    USERS_GATEWAY,
    definitions,
    policies,
)
from tests.integration.plain_api import Api, Refused
from tests.localmesh import Cluster, LocalMeshError, kubeconfig
from tests.localmesh.install import wait_established
from tests.unit.edge.objects import host, http, https

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def guarded(installed: Cluster) -> Iterator[Cluster]:
    """The cluster with these policies in force, and Istio's and the Gateway API's own definitions."""
    there = installed.kubectl("get", "crd", "-o", "name")
    made = []
    for crd in definitions():
        name = crd["metadata"]["name"]
        if f"customresourcedefinition.apiextensions.k8s.io/{name}" not in there:
            made.append(name)
        installed.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(crd))
        wait_established(installed, name)
    installed.apply(ROLE % CONTROLLERS)
    installed.apply(policies())

    def in_force() -> bool:
        try:
            write(installed, claim("in-force.example.com"), "someone")
        except LocalMeshError as error:
            return "only mesh-signer writes HostClaims" in str(error)
        return False

    def all_in_force() -> bool:
        for one in [ROUTE, OWN_GATEWAY, HTTP_ROUTE, GRANT, INGRESS, RECORD]:
            try:
                write(installed, changed(lambda one: one["metadata"].update(name="x"), one))
            except LocalMeshError as error:
                if "mesh-signer.dev" in str(error) and "denied" in str(error):
                    continue
            return False
        return True

    installed.wait_for(in_force, "the policy of HostClaims")
    installed.wait_for(all_in_force, "the policies of routes")
    yield installed
    installed.kubectl("delete", "-f", "-", input=policies())
    installed.kubectl("delete", "-f", "-", input=ROLE % CONTROLLERS)
    for name in made:
        installed.kubectl("delete", "crd", name, "--wait=false")


def write(cluster: Cluster, one: dict[str, Any], user: str = CONTROLLERS, *more: str) -> None:
    options = more or ("--dry-run=server",)
    cluster.kubectl("create", *options, f"--as={user}", "-f", "-", input=json.dumps(one))


def claim(name: str) -> dict[str, Any]:
    return new_claim(Take(host(name), "default", "u"))


def changed(change: Callable[[dict[str, Any]], Any], of: dict[str, Any] = ROUTE) -> dict[str, Any]:
    one = copy.deepcopy(of)
    change(one)
    return one


TOKEN = ROUTE["spec"]["http"][0]["match"][0]["uri"]["exact"].rpartition("/")[2]


def body(one: dict[str, Any], text: dict[str, str]) -> None:
    one["spec"]["http"][0]["directResponse"]["body"] = text


def test_our_routes_pass(guarded: Cluster) -> None:
    """What the controllers write for a challenge is let through, with and without the redirect."""
    write(guarded, ROUTE)
    write(guarded, changed(lambda one: one["spec"]["http"].pop()))


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["metadata"].update(name="shop"),
        lambda one: one["spec"]["http"][0].pop("match"),
        lambda one: one["spec"]["http"][0].update(match=[{"uri": {"prefix": "/"}}]),
        lambda one: one["spec"]["http"][0].update(match=[{"uri": {"exact": "/login"}}]),
        lambda one: one["spec"]["http"][0].update(match=[*one["spec"]["http"][0]["match"], {"uri": {"prefix": "/"}}]),
        lambda one: one["spec"]["http"][0].update(match=[{"uri": {"exact": "/.well-known/acme-challenge/../../x"}}]),
        lambda one: one["spec"]["http"][0].update(headers={"response": {"set": {"set-cookie": "x"}}}),
        lambda one: one["spec"]["http"][1].update(redirect={"scheme": "https", "authority": "evil.example"}),
        lambda one: one["spec"]["http"][1].update(redirect={"uri": "/elsewhere"}),
        lambda one: one["spec"]["http"][1].update(redirect={"scheme": "https", "port": 8443}),
        lambda one: one["spec"]["http"].append({"route": [{"destination": {"host": "evil"}}]}),
        lambda one: one["spec"]["http"].__setitem__(1, {"route": [{"destination": {"host": "evil"}}]}),
        lambda one: one["spec"]["http"][0].update(delegate={"name": "evil"}),
        lambda one: one["spec"].update(tcp=[{"route": [{"destination": {"host": "evil"}}]}]),
        lambda one: one["spec"].update(gateways=["mesh"]),
        lambda one: one["spec"].update(gateways=["elsewhere/shop"]),
        lambda one: one["spec"].update(gateways=["shop"]),
        lambda one: one["spec"]["gateways"].append("default/other"),
        lambda one: one["spec"].update(exportTo=["*"]),
        lambda one: one["spec"].update(exportTo=["."]),
        lambda one: one["spec"].update(exportTo=["istio-system", "*"]),
        lambda one: one["spec"].update(exportTo=[]),
        lambda one: one["spec"].pop("exportTo"),
        lambda one: one["spec"].update(
            tls=[{"match": [{"sniHosts": [HOST]}], "route": [{"destination": {"host": "evil"}}]}]
        ),
        lambda one: body(one, {"string": "<script>alert(1)</script>"}),
        lambda one: body(one, {"string": "x" * 43 + "." + "A" * 43}),
        lambda one: body(one, {"string": TOKEN + "." + "A" * 9000}),
        lambda one: body(one, {"string": TOKEN}),
        lambda one: body(one, {"bytes": "PGh0bWw+"}),
        lambda one: one["spec"]["http"][0]["directResponse"].update(status=301),
        lambda one: one["spec"]["http"][0]["match"][0].update(ignoreUriCase=True),
        lambda one: one["spec"]["http"][0].update(timeout="1s"),
        lambda one: one["spec"]["http"][0].update(mirror={"host": "evil"}),
        lambda one: one["spec"]["http"][0].update(fault={"abort": {"httpStatus": 500, "percentage": {"value": 100}}}),
        lambda one: one["spec"]["http"][0].update(corsPolicy={"allowOrigins": [{"exact": "*"}]}),
        lambda one: one["spec"]["http"][1].update(match=[{"uri": {"regex": "/a"}}]),
        lambda one: one["spec"]["http"][1]["redirect"].update(redirectCode=308),
        lambda one: one["spec"].pop("gateways"),
        lambda one: one["spec"].pop("http"),
    ],
)
def test_nothing_else_passes(guarded: Cluster, change: Callable[[dict[str, Any]], Any]) -> None:
    """With the controllers' token no traffic can be led elsewhere, and no page be changed."""
    with pytest.raises(LocalMeshError, match=r"challenge-(routes|objects)\.mesh-signer\.dev"):
        write(guarded, changed(change))


@pytest.mark.parametrize("one", [OWN_GATEWAY, HTTP_ROUTE, GRANT, INGRESS, RECORD], ids=lambda one: one["kind"])
def test_what_we_make_passes(guarded: Cluster, one: dict[str, Any]) -> None:
    """Our own Gateway, what leads to the solver, and a record for External-DNS are let through."""
    write(guarded, one)


@pytest.mark.parametrize(
    ("one", "change"),
    [
        (OWN_GATEWAY, lambda one: one["metadata"].update(name="shop")),
        (OWN_GATEWAY, lambda one: one["spec"].pop("selector")),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"].append(one["spec"]["servers"][0])),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"][0].update(hosts=["*"])),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"][0].update(bind="0.0.0.0")),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"][0]["port"].update(number=443)),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"][0]["port"].update(protocol="TCP")),
        (HTTP_ROUTE, lambda one: one["spec"].update(parentRefs=[])),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0].update(timeouts={"request": "1s"})),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0]["matches"][0].update(headers=[{"name": "a", "value": "b"}])),
        (GRANT, lambda one: one["spec"]["from"].append(one["spec"]["from"][0] | {"namespace": "elsewhere"})),
        (INGRESS, lambda one: (one["metadata"].pop("annotations"), one["spec"].update(ingressClassName="nginx"))),
        (INGRESS, lambda one: one["metadata"]["annotations"].pop("kubernetes.io/ingress.class")),
        (INGRESS, lambda one: one["spec"].update(defaultBackend={"service": {"name": "evil", "port": {"number": 80}}})),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"][0].update(hosts=["./*.example.com"])),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"][0].update(tls={"mode": "PASSTHROUGH"})),
        (HTTP_ROUTE, lambda one: one["metadata"].update(name="shop")),
        (HTTP_ROUTE, lambda one: one["spec"].pop("hostnames")),
        (HTTP_ROUTE, lambda one: one["spec"]["parentRefs"][0].update(namespace="other")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0]["matches"][0]["path"].update(value="/")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0]["matches"][0]["path"].update(type="PathPrefix")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0].pop("matches")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0]["backendRefs"][0].update(name="evil")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0]["backendRefs"][0].update(namespace="default")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"].append(one["spec"]["rules"][0])),
        (GRANT, lambda one: one["metadata"].update(namespace="default")),
        (GRANT, lambda one: one["spec"]["to"][0].update(name="mesh-signer")),
        (GRANT, lambda one: one["spec"]["to"][0].pop("name")),
        (GRANT, lambda one: one["spec"]["to"].append({"group": "", "kind": "Secret"})),
        (INGRESS, lambda one: one["metadata"].update(namespace="default")),
        (INGRESS, lambda one: one["spec"]["rules"][0]["http"]["paths"][0].update(path="/")),
        (INGRESS, lambda one: one["spec"]["rules"][0]["http"]["paths"][0].update(pathType="Prefix")),
        (INGRESS, lambda one: one["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"].update(name="evil")),
        (INGRESS, lambda one: one["spec"].update(tls=[{"hosts": [HOST], "secretName": "ca"}])),
        (INGRESS, lambda one: one["spec"]["rules"][0].pop("host")),
        (RECORD, lambda one: one["metadata"].update(name="shop")),
        (RECORD, lambda one: one["spec"].pop("endpoints")),
        (RECORD, lambda one: one["spec"]["endpoints"].append(one["spec"]["endpoints"][0])),
        (RECORD, lambda one: one["spec"]["endpoints"][0].update(recordType="CNAME")),
        (RECORD, lambda one: one["spec"]["endpoints"][0].update(targets=["v=spf1 +all"])),
        (RECORD, lambda one: one["spec"]["endpoints"][0]["targets"].append("192.0.2.1")),
        (RECORD, lambda one: one["spec"]["endpoints"][0].update(targets=[])),
        (RECORD, lambda one: one["spec"]["endpoints"][0].update(setIdentifier="x")),
        (RECORD, lambda one: one["spec"]["endpoints"][0].update(providerSpecific=[{"name": "alias", "value": "true"}])),
    ],
)
def test_nothing_else_leads_anywhere(
    guarded: Cluster, one: dict[str, Any], change: Callable[[dict[str, Any]], Any]
) -> None:
    """With the controllers' token no Gateway opens a port for more than one host, and nothing else reaches anything."""
    with pytest.raises(LocalMeshError, match=r"challenge-[a-z]+\.mesh-signer\.dev"):
        write(guarded, changed(change, one))


PLURALS = {"Ingress": "ingresses"}


@pytest.fixture(scope="module")
def plain(guarded: Cluster) -> Iterator[Api]:
    """A connection that is as fast as many tries need."""
    found = Api(kubeconfig.read(guarded.kubeconfig()))
    yield found
    found.close()


def objects(one: dict[str, Any]) -> str:
    plural = PLURALS.get(one["kind"], f"{one['kind'].lower()}s")
    return f"/apis/{one['apiVersion']}/namespaces/{one['metadata']['namespace']}/{plural}"


def post(api: Api, one: dict[str, Any]) -> None:
    api.call("POST", f"{objects(one)}?dryRun=All", one, user=CONTROLLERS, groups=["system:authenticated"])


GONE = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000001"}
CHALLENGE = {"apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge", "name": "c", "uid": "other"}
MADE = {one["kind"]: one for one in (ROUTE, OWN_GATEWAY, HTTP_ROUTE, GRANT, INGRESS, RECORD)}
METADATA: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{
        f"annotation {key}": lambda meta, key=key: meta["annotations"].update({key: "6.6.6.6"})  # type: ignore[misc]
        for key in (
            "external-dns.alpha.kubernetes.io/target",
            "external-dns.alpha.kubernetes.io/hostname",
            "nginx.ingress.kubernetes.io/configuration-snippet",
            "cert-manager.io/cluster-issuer",
            "mesh-signer.dev/challenge",
            "mesh-signer.dev/challenge.u",
            "kubernetes.io/ingress.class",
        )
    },
    **{
        f"label {key}": lambda meta, key=key: meta["labels"].update({key: "x"})  # type: ignore[misc]
        for key in (
            "argocd.argoproj.io/instance",
            "app.kubernetes.io/part-of",
            "acme.cert-manager.io/http01-solver",
            "mesh-signer.dev/challenge.u",
            "mesh-signer.dev/tenant",
        )
    },
    "no labels": lambda meta: meta.pop("labels"),
    "a label that is no uid": lambda meta: meta["labels"].update({"mesh-signer.dev/challenge-uid": "a_b"}),
    "a finalizer": lambda meta: meta.update(finalizers=["example.com/f"]),
    "another's object as owner": lambda meta: meta.update(ownerReferences=[GONE]),
    "another Challenge as owner": lambda meta: meta.update(ownerReferences=[CHALLENGE]),
    "the Challenge of another namespace as owner": lambda meta: (
        meta.update(ownerReferences=[CHALLENGE | {"uid": "u"}]),
        meta.setdefault("annotations", {}).update({"mesh-signer.dev/challenge": "elsewhere/c"}),
    ),
    "another name": lambda meta: meta.update(name=f"{meta['name']}-x"),
    "a made name": lambda meta: meta.update(generateName=meta.pop("name")[:17]),
}


@pytest.mark.parametrize("what", METADATA)
@pytest.mark.parametrize("kind", MADE)
def test_nothing_else_is_noted(plain: Api, kind: str, what: str) -> None:
    """No name, note, label, owner or finalizer by which another program acts, on any of the kinds that are written."""
    one = changed(lambda one: METADATA[what](one["metadata"]), MADE[kind])
    if one == MADE[kind]:
        return  # what is wrong elsewhere is what this kind has
    with pytest.raises(Refused, match=r"challenge-[a-z]+\.mesh-signer\.dev"):
        post(plain, one)


HOSTS = (
    *("*", "*.com", "*.example.com", "com", "", "a..example.com", ".example.com", "a.example.com.", "192.0.2.1"),
    *(
        "istiod.istio-system.svc",
        "istiod.istio-system.svc.cluster.local",
        "a.svc.example",
        "printer.local",
        "a.internal",
    ),
    *("a b.example.com", "a.example.com/x", "a.example.com\n", "ä.example.com"),
)


def set_host(one: dict[str, Any], hosts: list[str]) -> None:
    spec = one["spec"]
    match one["kind"]:
        case "VirtualService":
            spec["hosts"] = hosts
        case "Gateway":
            spec["servers"][0]["hosts"] = [f"./{host}" for host in hosts]
        case "HTTPRoute":
            spec["hostnames"] = hosts
        case _:
            spec["rules"] = [{**spec["rules"][0], "host": host} for host in hosts]


@pytest.mark.parametrize("hosts", [*([host] for host in HOSTS), [], [HOST, "b.example.com"]], ids=str)
@pytest.mark.parametrize("kind", ["VirtualService", "Gateway", "HTTPRoute", "Ingress"])
def test_no_other_hosts(plain: Api, kind: str, hosts: list[str]) -> None:
    """One public host: no wildcard, nothing of the cluster's own, no second one."""
    # What the API server's own schema refuses is refused as well.
    with pytest.raises(Refused, match=r"challenge-[a-z]+\.mesh-signer\.dev|is invalid|Invalid value"):
        post(plain, changed(lambda one: set_host(one, hosts), MADE[kind]))


LETTERS = ["A.example.com", "A.Example.com"]


def test_a_host_in_its_gateways_letters(plain: Api) -> None:
    """A route has its one host in each spelling of the Gateway's servers, since Istio compares by case; nothing else has."""
    for hosts in ([LETTERS[0]], LETTERS, [HOST, *LETTERS]):
        post(plain, changed(lambda one, hosts=hosts: set_host(one, hosts)))  # type: ignore[misc]  # bound now
    for kind in ("Gateway", "HTTPRoute", "Ingress"):
        with pytest.raises(Refused, match=r"challenge-[a-z]+\.mesh-signer\.dev|is invalid|Invalid value"):
            post(plain, changed(lambda one: set_host(one, LETTERS[:1]), MADE[kind]))
    for hosts in ([LETTERS[0], "B.example.com"], [f"{'A' * number}.example.com" for number in range(1, 10)]):
        with pytest.raises(Refused, match="one public host"):
            post(plain, changed(lambda one, hosts=hosts: set_host(one, hosts)))  # type: ignore[misc]  # bound now


@pytest.mark.parametrize("kind", MADE)
def test_others_notes_stay(guarded: Cluster, plain: Api, kind: str) -> None:
    """What somebody else put on such an object does not keep the controllers from writing it again; they change none of it."""
    notes = {"annotations": {"example.com/note": "x"}, "labels": {"example.com/team": "a"}}
    namespace = plain.get(f"/api/v1/namespaces/{MADE[kind]['metadata']['namespace']}")["metadata"]
    there = {"apiVersion": "v1", "kind": "Namespace", "name": namespace["name"], "uid": namespace["uid"]}

    def noted(one: dict[str, Any]) -> None:
        meta = one["metadata"]
        meta["annotations"] = meta.get("annotations", {}) | notes["annotations"]
        meta["labels"] = meta["labels"] | notes["labels"]
        meta["finalizers"], meta["ownerReferences"] = ["example.com/f"], [there]

    one = MADE[kind]
    where = [
        f"{PLURALS.get(kind, f'{kind.lower()}s')}.{one['apiVersion'].partition('/')[0]}",
        one["metadata"]["name"],
        "-n",
        one["metadata"]["namespace"],
    ]
    try:
        write(guarded, changed(noted, one), "someone", "-o", "name")

        def put(body: dict[str, Any]) -> None:
            options = ("--type=merge", f"--patch={json.dumps(body)}", "--dry-run=server", f"--as={CONTROLLERS}")
            guarded.kubectl("patch", *where, *options)

        put({"metadata": {key: one["metadata"].get(key) for key in ("labels", "annotations")}, "spec": one["spec"]})
        for over in (
            {"annotations": {"example.com/note": "y"}},
            {"labels": {"example.com/team": "b"}},
            {"finalizers": ["example.com/f", "example.com/g"]},
            {"ownerReferences": [there, GONE]},
        ):
            with pytest.raises(LocalMeshError, match=r"challenge-objects\.mesh-signer\.dev"):
                put({"metadata": over})
    finally:
        guarded.kubectl("patch", *where, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
        guarded.kubectl("delete", "--ignore-not-found", *where)


def patch(cluster: Cluster, body: dict[str, Any], *more: str) -> None:
    cluster.kubectl(
        "patch", "gateways.networking.istio.io", "users", "-n", "default", "--type=merge",
        f"--patch={json.dumps(body)}", f"--as={CONTROLLERS}", *more,
    )  # fmt: skip


def users(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("gateways.networking.istio.io", "users", "-n", "default")
    return found


def test_the_redirect_of_users(guarded: Cluster) -> None:
    """Of a Gateway whose owner allows it the redirect of port 80 is taken and given back; nothing else is changed."""
    with pytest.raises(LocalMeshError, match="challenge-gateways"):
        write(guarded, USERS_GATEWAY)
    try:
        write(guarded, USERS_GATEWAY, "someone", "-o", "name")
        taken = taking(users(guarded), "u", host(HOST))
        assert isinstance(taken, dict)
        patch(guarded, taken)
        more = users(guarded)["spec"]["servers"]
        for change in (
            {"metadata": {"labels": {"a": "b"}}},
            {"metadata": {"annotations": {"note": "y"}}},
            {"metadata": {"annotations": {"external-dns.alpha.kubernetes.io/target": "6.6.6.6"}}},
            {"metadata": {"finalizers": ["example.com/f"]}},
            {"metadata": {"ownerReferences": [GONE]}},
            {
                "spec": {
                    "servers": [
                        {**more[0]},
                        *({**one, "tls": {"mode": "SIMPLE", "credentialName": "x"}} for one in more[1:]),
                    ]
                }
            },
            {"metadata": {"annotations": {"note": None}}},
            {"spec": {"selector": {"istio": "other"}}},
            {"spec": {"servers": [*more, http("evil.example.com")]}},
            {"spec": {"servers": [*more, http(HOST, port=8080)]}},
            {"spec": {"servers": [*more[:-1]]}},
            {"spec": {"servers": more[1:]}},
            {"spec": {"servers": [https(HOST, "b.example.com"), *more[1:]]}},
        ):
            with pytest.raises(LocalMeshError, match="challenge-gateways"):
                patch(guarded, change, "--dry-run=server")
        back = giving_back(users(guarded), "u")
        assert back is not None
        patch(guarded, back)
        assert users(guarded)["spec"] == USERS_GATEWAY["spec"]
        patch(guarded, {"metadata": {"annotations": {ALLOW_REDIRECT_CHANGE: "false"}}}, "--as=someone")
        with pytest.raises(LocalMeshError, match="http01-replace-redirect"):
            patch(guarded, {"spec": {"servers": more}}, "--dry-run=server")
        with pytest.raises(LocalMeshError, match="challenge-deletions"):
            guarded.kubectl("delete", "gateways.networking.istio.io", "users", "-n", "default", f"--as={CONTROLLERS}")
    finally:
        guarded.kubectl("delete", "--ignore-not-found", "gateways.networking.istio.io", "users", "-n", "default")


def test_others_are_not_bound(guarded: Cluster) -> None:
    """What users write is none of this policy's business."""
    write(guarded, changed(lambda one: one["metadata"].update(name="shop")), "someone")


def test_claims(guarded: Cluster, name: str) -> None:
    """Nobody but the controllers makes a claim, and to delete one needs the verb release."""
    one = claim(f"{name}.example.com")
    with pytest.raises(LocalMeshError, match="write an EdgePolicy"):
        write(guarded, one, "someone")
    write(guarded, one, CONTROLLERS, "-o", "name")
    delete = ["delete", "hostclaim", one["metadata"]["name"]]
    with pytest.raises(LocalMeshError, match="needs the verb release"):
        guarded.kubectl(*delete, "--as=someone")
    guarded.kubectl(*delete)


def test_a_claim_deleted_for_good(guarded: Cluster, name: str) -> None:
    """One that was deleted in the foreground goes: of what is being deleted finalizers are taken, and nothing else."""
    one = claim(f"{name}.example.com")
    one["metadata"]["finalizers"] = ["a.example/hold"]
    write(guarded, one, CONTROLLERS, "-o", "name")
    which = ["hostclaim", one["metadata"]["name"]]
    guarded.kubectl("delete", *which, "--cascade=foreground", "--wait=false")
    left = ["get", *which, "-o", "jsonpath={.metadata.finalizers}"]
    guarded.wait_for(lambda: guarded.kubectl(*left) == '["a.example/hold"]', "the garbage collector's part", 60)
    collector = "--as=system:serviceaccount:kube-system:generic-garbage-collector"
    more = json.dumps({"metadata": {"finalizers": [], "labels": {"a": "b"}}})
    with pytest.raises(LocalMeshError, match="only mesh-signer writes"):
        guarded.kubectl("patch", *which, "--type=merge", "-p", more, collector)
    guarded.kubectl("patch", *which, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": []}}), collector)
    assert which[1] not in guarded.kubectl("get", "hostclaims", "-o", "name")


def test_restored_claims(guarded: Cluster, name: str) -> None:
    """A claim of a backup is written by who has the verb restore, where it is marked as that; a cluster-admin has the verb."""
    one = claim(f"{name}.example.com")
    with pytest.raises(LocalMeshError, match="needs the verb restore"):
        guarded.apply(json.dumps(one))
    one["metadata"]["annotations"] = {"mesh-signer.dev/restored-from": "2026-11-29T12:00:00Z"}
    with pytest.raises(LocalMeshError, match="only mesh-signer writes"):
        write(guarded, one, "someone")
    guarded.apply(json.dumps(one))
    guarded.kubectl("delete", "hostclaim", one["metadata"]["name"])


def test_the_component_has_them() -> None:
    """The component lists each file of its folder."""
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
