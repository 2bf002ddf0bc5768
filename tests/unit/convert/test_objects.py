"""Old manifests brought up to date, kind by kind."""

from typing import Any

import pytest

from signer.convert.manifest import convert
from tests.unit.convert.objects import certificate, issuer, lines, one


def ingress(*paths: str, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    backend = {"serviceName": "s", "servicePort": 80}
    rules = [{"host": "a.example", "http": {"paths": [{"path": path, "backend": backend} for path in paths]}}]
    return {
        "apiVersion": "extensions/v1beta1",
        "kind": "Ingress",
        "metadata": {"name": "i", **({"annotations": annotations} if annotations else {})},
        "spec": {"rules": rules, **spec},
    }


class TestIssuers:
    def test_providers(self) -> None:
        """DNS providers, once named by Certificates, become solvers for the names of those."""
        acme = {
            "server": "https://acme-v02.api.letsencrypt.org/directory",
            "privateKeySecretRef": {"name": "key"},
            "dns01": {"providers": [{"name": "prod", "clouddns": {"project": "p"}}, {"name": "x", "azuredns": {}}]},
        }
        config = [{"domains": ["*.a.example"], "dns01": {"provider": "prod"}}]
        wish = certificate(
            "certmanager.k8s.io/v1alpha1", issuerRef={"name": "le", "kind": "ClusterIssuer"}, acme={"config": config}
        )
        found, told = one(issuer(acme, "certmanager.k8s.io/v1alpha1"), wish)
        assert found["spec"]["acme"]["solvers"] == [
            {"selector": {"dnsNames": ["*.a.example"]}, "dns01": {"cloudDNS": {"project": "p"}}}
        ]
        assert any("x: no Certificate in this input says which names are its" in line for line in told)

    def test_a_missing_provider(self) -> None:
        """A Certificate that names a provider that is not there is told of."""
        config = [{"domains": ["a"], "dns01": {"provider": "gone"}}]
        wish = certificate(issuerRef={"name": "le", "kind": "ClusterIssuer"}, acme={"config": config})
        _, told = one(issuer({"server": "https://a.example/dir"}), wish)
        assert any("names gone, which is not there" in line for line in told)

    def test_an_issuer_elsewhere(self) -> None:
        """When the issuer is not in the input, its solvers cannot be made, and that is told."""
        _, told = one(certificate(issuerRef={"name": "x"}, acme={"config": [{"domains": ["a"], "http01": {}}]}))
        assert told == [
            (
                "Certificate n/c: spec.acme: solvers are the issuer's now, and Issuer n/x is not in this input;"
                " convert both together, or add them"
            )
        ]

    def test_solvers_stay_in_order(self) -> None:
        """Solvers of 2019 and later keep their order and selectors; the providers get today's names."""
        solvers = [
            {"selector": {"dnsZones": ["a.example"]}, "dns01": {"acmedns": {"host": "https://x"}}},
            {"http01": {}},
        ]
        found, told = one(issuer({"server": "https://a.example/dir", "solvers": solvers}))
        assert found["spec"]["acme"]["solvers"] == [
            {"selector": {"dnsZones": ["a.example"]}, "dns01": {"acmeDNS": {"host": "https://x"}}},
            {"http01": {"ingress": {}}},
        ]
        assert told == []

    @pytest.mark.parametrize(
        ("server", "today", "word"),
        [
            ("https://acme-v01.api.letsencrypt.org/directory", "acme-v02.api", "version 1"),
            ("https://acme-staging.api.letsencrypt.org/directory", "acme-staging-v02.api", "version 1"),
            ("https://ACME-v02.api.letsencrypt.org/directry", "acme-v02.api", "misspelt"),
            ("http://acme-v02.api.letsencrypt.org/directory", "https://acme-v02.api", "not https"),
            ("http://ca.example/dir", "http://ca.example/dir", "only https"),
            ("https://[", "https://[", "is not a URL"),
            ("https://ca.example/dir", "https://ca.example/dir", ""),
        ],
    )
    def test_servers(self, server: str, today: str, word: str) -> None:
        """Servers of ACME 1 become those of ACME 2; what is wrong with an address is told."""
        found, told = one(issuer({"server": server, "solvers": [{"http01": {}}]}))
        assert today in found["spec"]["acme"]["server"]
        assert any(word in line for line in told) if word else told == []

    def test_no_solver_left(self) -> None:
        """An issuer without a way to prove names is told of."""
        _, told = one(issuer({"server": "https://a.example/dir"}))
        assert "no way to prove a name is left" in told[0]


class TestCertificates:
    def test_fields(self) -> None:
        """Renamed and moved fields keep their meaning."""
        found, told = one(
            certificate(
                organization=["o"],
                subject={"countries": ["FR"], "organizations": ["p"]},
                emailSANs=["a@b.example"],
                uriSANs=["spiffe://a/b"],
                keyAlgorithm="ecdsa",
                keySize=384,
                keyEncoding="pkcs8",
                privateKey={"rotationPolicy": "Always"},
                duration="24h",
                renewBefore="5d",
            )
        )
        assert found["spec"] == {
            "subject": {"countries": ["FR"], "organizations": ["p", "o"]},
            "emailAddresses": ["a@b.example"],
            "uris": ["spiffe://a/b"],
            "privateKey": {"rotationPolicy": "Always", "algorithm": "ECDSA", "size": 384, "encoding": "PKCS8"},
            "duration": "24h",
            "renewBefore": "120h",
        }
        assert [line.split(": ")[1] for line in told] == ["spec.renewBefore"]

    @pytest.mark.parametrize(
        ("field", "right"), [("dnsnames", "dnsNames"), ("secrtName", "secretName"), ("issuerref", "issuerRef")]
    )
    def test_misspelt(self, field: str, right: str) -> None:
        """A misspelt field is mended, with a note that says that it had no effect."""
        value: Any = {"name": "x"} if right == "issuerRef" else "v"
        found, told = one(certificate(**{field: value}))
        assert found["spec"] == {right: value}
        assert f"spec.{field}: misspelt: {right} is meant" in told[0]

    def test_misspelt_beside_the_right_one(self) -> None:
        """What stands under its right name is never replaced by a misspelt one."""
        found, told = one(certificate(secretName="right", secrtName="wrong"))
        assert found["spec"] == {"secretName": "right"}
        assert "left out" in told[0]

    def test_unknown(self) -> None:
        """A field that never was is left out with a note, at any depth."""
        found, told = one(certificate(zzz=1, issuerRef={"name": "x", "qqq": 2}))
        assert found["spec"] == {"issuerRef": {"name": "x"}}
        assert [line.split(": ")[1] for line in told] == ["spec.zzz", "spec.issuerRef.qqq"]


class TestIngresses:
    @pytest.mark.parametrize(
        ("path", "today"),
        [
            ("/.*", ("/", "Prefix")),
            ("/", ("/", "Prefix")),
            ("", ("/", "Prefix")),
            ("/a/.*", ("/a", "Prefix")),
            ("/a/*", ("/a", "Prefix")),
            ("/a", ("/a", "ImplementationSpecific")),
            ("/a.*", ("/a.*", "ImplementationSpecific")),
            ("a", ("/a", "ImplementationSpecific")),
        ],
    )
    def test_paths(self, path: str, today: tuple[str, str]) -> None:
        """A path keeps what Istio read into it."""
        found, _ = one(ingress(path))
        entry = found["spec"]["rules"][0]["http"]["paths"][0]
        assert (entry["path"], entry["pathType"]) == today

    def test_annotations(self) -> None:
        """Annotations of cert-manager get today's names; those without an equal are told."""
        old = {
            "certmanager.k8s.io/cluster-issuer": "le",
            "certmanager.k8s.io/acme-challenge-type": "http01",
            "certmanager.k8s.io/other": "x",
            "kubernetes.io/tls-acme": "true",
        }
        found, told = one(ingress("/", annotations=old))
        assert found["metadata"]["annotations"] == {
            "cert-manager.io/cluster-issuer": "le",
            "kubernetes.io/tls-acme": "true",
        }
        assert [line.split("[")[1].split("]")[0] for line in told] == [
            "certmanager.k8s.io/acme-challenge-type",
            "certmanager.k8s.io/other",
        ]

    @pytest.mark.parametrize("kind", ["Ingress", "Gateway", "old Ingress"])
    def test_annotations_that_nothing_comes_of(self, kind: str) -> None:
        """What is not carried out of cert-manager's annotations is told with its remedy, and stays as it is."""
        annotations = {"cert-manager.io/usages": "server auth", "kubernetes.io/tls-acme": "true"}
        version = "networking.k8s.io/v1" if kind == "Ingress" else "networking.istio.io/v1"
        obj = {"apiVersion": version, "kind": kind, "metadata": {"name": "i", "annotations": annotations}, "spec": {}}
        found, told = one(ingress("/", annotations=annotations) if kind == "old Ingress" else obj)
        assert found["metadata"]["annotations"] == annotations
        assert ["spec.usages" in told[0], "names no issuer" in told[1], len(told)] == [True, True, 2]

    def test_annotations_of_an_ingress_of_today(self) -> None:
        """An Ingress that has today's version and yesterday's annotations gets those of today, and keeps all else."""
        today = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": {"x": 1}}
        old = today | {"metadata": {"name": "i", "uid": "u", "annotations": {"certmanager.k8s.io/issuer": "le"}}}
        found, _ = one(old)
        assert found == today | {"metadata": {"name": "i", "uid": "u", "annotations": {"cert-manager.io/issuer": "le"}}}

    def test_a_real_route_beside_challenges_stays(self) -> None:
        """Only an Ingress that does nothing but route challenges is left out."""
        found, told = one(ingress("/.well-known/acme-challenge/x", "/shop"))
        assert len(found["spec"]["rules"][0]["http"]["paths"]) == 2
        assert told == []

    def test_class_twice(self) -> None:
        """The API server does not allow the class both ways: the annotation stays."""
        found, told = one(ingress("/", annotations={"kubernetes.io/ingress.class": "istio"}, ingressClassName="istio"))
        assert "ingressClassName" not in found["spec"]
        assert "ingressClassName" in told[0]


LATER_ACME = {"preferredChain": "X", "disableAccountKeyGeneration": True, "enableDurationFeature": True}
LATER_SPEC = {"revisionHistoryLimit": 3, "encodeUsagesInRequest": False}
VERSIONS = ("cert-manager.io/v1alpha2", "cert-manager.io/v1alpha3", "cert-manager.io/v1beta1")


class TestFieldsByVersion:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_they_had_an_effect(self, version: str) -> None:
        """What a version had when it was last served comes through, without a note."""
        route = {"http01": {"gatewayHTTPRoute": {"labels": {"gateway": "http01"}}}}
        acme = {"server": "https://a.example/dir", **LATER_ACME, "solvers": [route]}
        found, told = one(issuer(acme, version))
        assert found["spec"]["acme"] == acme
        assert told == []
        found, told = one(certificate(version, secretName="s", issuerRef={"name": "x"}, **LATER_SPEC))
        assert found["spec"] == {"secretName": "s", "issuerRef": {"name": "x"}, **LATER_SPEC}
        assert told == []

    @pytest.mark.parametrize(
        ("name", "today"), [("acmedns", "acmeDNS"), ("azuredns", "azureDNS"), ("clouddns", "cloudDNS")]
    )
    def test_how_providers_are_spelt(self, name: str, today: str) -> None:
        """The last old version spelt providers as today, the earlier ones in small letters; the other form had no effect."""
        for version in VERSIONS:
            own, other = (today, name) if version == VERSIONS[-1] else (name, today)
            for spelt, notes in ((own, 0), (other, 1)):
                found, told = one(
                    issuer({"server": "https://a.example/dir", "solvers": [{"dns01": {spelt: {}}}]}, version)
                )
                assert list(found["spec"]["acme"]["solvers"][0]["dns01"]) == [today]
                assert len(told) == notes, told

    def test_they_came_later(self) -> None:
        """The first version had none of them."""
        found, told = one(issuer({"server": "https://a.example/dir", **LATER_ACME}, "certmanager.k8s.io/v1alpha1"))
        assert not LATER_ACME.keys() & found["spec"]["acme"].keys()
        assert sum("no such field" in line for line in told) == len(LATER_ACME)


class TestMisspeltAboveSpec:
    @pytest.mark.parametrize(
        ("wrong", "right"), [("meteadata", "metadata"), ("metaData", "metadata"), ("sepc", "spec"), ("Spec", "spec")]
    )
    def test_of_an_object(self, wrong: str, right: str) -> None:
        """A misspelt part of an object is mended, with a note, and its name and namespace are kept."""
        old = certificate(secretName="s", issuerRef={"name": "x"})
        as_it_should_be, _ = one(old)
        found, told = one({wrong if name == right else name: value for name, value in old.items()})
        assert found == as_it_should_be
        assert len(told) == 1
        assert f"{wrong}: misspelt: {right} is meant" in told[0]

    def test_of_its_metadata(self) -> None:
        """So is what is inside of metadata; what no object ever had there is left out."""
        old = certificate(secretName="s", issuerRef={"name": "x"})
        old["metadata"] |= {"lables": {"a": "b"}, "colour": "red"}
        found, told = one(old)
        assert found["metadata"] == {"name": "c", "namespace": "n", "labels": {"a": "b"}}
        assert ["labels is meant" in told[0], "metadata.colour: no such field" in told[1]] == [True, True]

    def test_of_others(self) -> None:
        """What is not cert-manager's is passed on as it is."""
        other = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "sepc": {}, "data": {}}
        assert one(other) == (other, [])


CHALLENGE, SHOP = {"uri": {"prefix": "/.well-known/acme-challenge/"}}, {"uri": {"prefix": "/shop"}}


class TestRoutesByHand:
    @pytest.mark.parametrize(
        ("http", "left_out"),
        [
            ([{"match": [CHALLENGE]}], True),
            ([{"match": [{"uri": {"exact": "/.well-known/acme-challenge/x"}}, CHALLENGE]}], True),
            ([{"match": [{"uri": {"regex": "^/.well-known/acme-challenge/.*"}}]}], True),
            ([{"match": [CHALLENGE]}, {"match": [CHALLENGE]}], True),
            ([{"match": [CHALLENGE]}, {"match": [SHOP]}], False),
            ([{"match": [CHALLENGE, SHOP]}], False),
            ([{"match": [CHALLENGE]}, {}], False),
            ([{"match": [{"headers": {"a": {"exact": "b"}}}]}], False),
            ([], False),
        ],
    )
    def test_for_challenges_alone(self, http: list[Any], left_out: bool) -> None:
        """A VirtualService that takes challenges and nothing else is left out with a note; one that does more stays."""
        for version in ("v1alpha3", "v1beta1", "v1"):
            old = {"apiVersion": f"networking.istio.io/{version}", "kind": "VirtualService", "metadata": {"name": "v"}}
            found = convert([{**old, "spec": {"hosts": ["a.example"], "http": http}}])
            assert (found.objects == ()) == left_out
            assert bool(lines(found)) == left_out
            tls = convert([{**old, "spec": {"hosts": ["a.example"], "http": http, "tls": [{"match": []}]}}])
            assert tls.objects
