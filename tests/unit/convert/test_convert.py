"""Old manifests brought up to date: whole guides, and what is said about a file."""

import base64
import copy
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from signer.cli import main
from signer.convert.manifest import Converted, convert
from signer.convert.yaml_text import MAX_DEPTH, UnreadableManifest, read_stream, write_stream
from tests.unit.convert.objects import certificate, issuer, lines, one

FOLDER = Path(__file__).parent / "manifests"


CSR = base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n").decode()


def converted(name: str, csr: str = CSR) -> Converted:
    return convert(read_stream((FOLDER / name).read_text("utf-8").replace("@CSR@", csr)))


def by_name(found: Converted) -> dict[str, dict[str, Any]]:
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in found.objects}


class TestGuides:
    def test_2020(self) -> None:
        """The guide of 2020 needs nothing but today's versions: every wish of it stays as it is."""
        found = converted("istio-2020.yaml")
        objects = by_name(found)
        assert {one["apiVersion"] for one in found.objects} == {
            "cert-manager.io/v1",
            "networking.istio.io/v1",
            "v1",
            "apps/v1",
        }
        acme = objects["ClusterIssuer/letsencrypt-staging"]["spec"]["acme"]
        assert acme["solvers"] == [{"http01": {"ingress": {"class": "istio"}}}]
        assert acme["server"] == "https://acme-staging-v02.api.letsencrypt.org/directory"
        assert objects["Certificate/application.sample.com"]["spec"] == {
            "commonName": "application.sample.com",
            "dnsNames": ["application.sample.com"],
            "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt-staging"},
            "secretName": "application.sample.com",
        }
        assert len(objects) == 7
        assert lines(found) == [
            (
                "ClusterIssuer cert-manager/letsencrypt-staging: metadata.namespace: left out: the kind has no namespace;"
                " its Secrets are in the signer's own"
            )
        ]

    def test_what_was_read_from_a_cluster(self) -> None:
        """State and solver objects are left out, each with a note; of the Certificate only the wish is left."""
        found = converted("istio-2020-cluster.yaml")
        (kept,) = found.objects
        assert kept["kind"] == "Certificate"
        assert kept["metadata"] == {"name": "application.sample.com", "namespace": "istio-system"}
        assert "status" not in kept
        assert [note.subject.split()[0] for note in found.notes] == ["Challenge", "Pod", "Service", "Ingress"]
        assert all("left out" in note.message for note in found.notes)

    def test_2018(self) -> None:
        """The guide of 2018: ACME 2, solvers on the issuer, no hand-made challenge routes, Ingresses of today."""
        found = converted("istio-2018.yaml")
        objects = by_name(found)
        assert sorted(objects) == [
            "Certificate/istio-ingress-certs",
            "ClusterIssuer/letsencrypt-prod",
            "ClusterIssuer/letsencrypt-staging",
            "Ingress/istio-ingress-http",
            "Ingress/istio-ingress-https",
            "ReplicationController/helloworld-v1",
            "ReplicationController/helloworld-v2",
            "Service/helloworld-v1",
            "Service/helloworld-v2",
        ]
        prod = objects["ClusterIssuer/letsencrypt-prod"]["spec"]["acme"]
        assert prod["server"] == "https://acme-v02.api.letsencrypt.org/directory"
        assert prod["solvers"] == [{"http01": {"ingress": {}}}]
        staging = objects["ClusterIssuer/letsencrypt-staging"]["spec"]["acme"]
        assert staging["server"] == "https://acme-staging-v02.api.letsencrypt.org/directory"
        assert staging["solvers"] == [
            {
                "selector": {"dnsNames": ["www.mydomain.com", "mobile.mydomain.com"]},
                "http01": {"ingress": {"class": "istio"}},
            },
            {"http01": {"ingress": {}}},
        ]
        assert "acme" not in objects["Certificate/istio-ingress-certs"]["spec"]
        https = objects["Ingress/istio-ingress-https"]["spec"]
        assert https["tls"] == [{"secretName": "istio-ingress-certs"}]
        assert https["rules"][0] == {
            "host": "www.mydomain.com",
            "http": {
                "paths": [
                    {
                        "path": "/",
                        "pathType": "Prefix",
                        "backend": {"service": {"name": "helloworld-v1", "port": {"number": 8080}}},
                    }
                ]
            },
        }
        told = "\n".join(lines(found))
        assert "spec.acme.server: misspelt: the path is /directory, not /directorr" in told
        assert told.count("spoke ACME version 1") == 2
        assert 'ingressClass "none"' in told
        assert told.count("left out: it selects cert-manager's solver Pods") == 2
        assert "Ingress istio-system/istio-ingress-certs-mgr: left out: it only routes ACME challenges" in told
        assert "kubernetes.io/ingress.allow-http]: has no equivalent" in told

    def test_2019(self) -> None:
        """The request of 2019: the misspelt field is mended and its days become hours."""
        found = converted("request-2019.yaml")
        (request,) = found.objects
        assert request["spec"] == {
            "request": CSR,
            "isCA": False,
            "duration": "2160h",
            "issuerRef": {"name": "ca-issuer", "kind": "Issuer", "group": "cert-manager.io"},
        }
        assert lines(found) == [
            "CertificateRequest my-ca-cr: spec.duraton: misspelt: duration is meant; it had no effect until now",
            "CertificateRequest my-ca-cr: spec.duration: 90d is not a duration (there is no unit d); now 2160h",
        ]

    def test_a_request_that_was_cut(self) -> None:
        """A request as guides print it, with dots in the middle, cannot be applied and is left out."""
        found = converted("request-2019.yaml", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FUR\n    .....\n    LQo=")
        assert found.objects == ()
        assert "spec.csr: holds no PEM in base64" in lines(found)[-1]

    @pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
    def test_twice_is_once(self, name: str) -> None:
        """What was converted is today's: a second conversion changes nothing and has nothing to tell."""
        first = converted(name)
        again = convert(read_stream(write_stream(first.objects)))
        assert again == Converted(first.objects, ())


class TestInput:
    def test_strangers_pass(self) -> None:
        """What is not ours to convert passes unchanged, whatever it looks like."""
        strange: list[dict[str, Any]] = [
            {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1e3", "b": "yes", "c": "2020-01-01"}},
            {"apiVersion": "example.com/v1", "kind": "Certificate", "spec": {"x": None}},
            {"kind": 7},
            {},
        ]
        found = convert(copy.deepcopy(strange))
        assert list(found.objects) == strange
        assert found.notes == ()

    def test_a_version_that_is_gone(self) -> None:
        """A kind that no server has any more and that we do not convert is told of."""
        _, told = one({"apiVersion": "extensions/v1beta1", "kind": "Deployment", "metadata": {"name": "d"}})
        assert "no longer served" in told[0]

    def test_lists_and_empty_documents(self) -> None:
        """Lists are taken apart, and empty documents are nothing."""
        text = "---\n---\napiVersion: v1\nkind: List\nitems:\n- {kind: A}\n- {kind: B}\n---\n# nothing\n"
        assert [one["kind"] for one in read_stream(text)] == ["A", "B"]

    @pytest.mark.parametrize("text", ["1e3", "y", "no", "010", "1_000", "10:30", "2020-01-01", "~", "", " a", "0x1f"])
    def test_texts_stay_texts(self, text: str) -> None:
        """A text that could be read as something else is quoted, and read back as it was."""
        written = write_stream([{"a": text}])
        assert read_stream(written) == [{"a": text}]
        assert f"a: {text}\n" != written

    def test_values_as_kubernetes_reads_them(self) -> None:
        """Times stay texts, and minutes make no number."""
        assert read_stream("{a: 2020-01-01T00:00:00Z, b: 10:30, c: 8080, d: 1.5, e: true, f: null}") == [
            {"a": "2020-01-01T00:00:00Z", "b": "10:30", "c": 8080, "d": 1.5, "e": True, "f": None}
        ]

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("a: [", "line"),
            ("- 1", "an object is expected"),
            ("a: 1\na: 2", "appears twice"),
            ("1: a", "is not text"),
            ("? [a]\n: b", "a key that is not text"),
            ("a: !!binary aGk=", "does not know"),
            ("a: !!python/object:os.system x", "not valid YAML"),
            ("a: &a [*a]", "the anchor 'a' inside itself"),
            ("a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "deep"),
            ("\n".join(f"a{n}: &a{n} [{', '.join(['*a' + str(n - 1)] * 10) if n else 1}]" for n in range(9)), "values"),
            ("a: \x00", "not valid YAML"),
        ],
    )
    def test_unreadable(self, text: str, word: str) -> None:
        """What is not a stream of objects, or grows beyond all bounds, is refused with one line."""
        with pytest.raises(UnreadableManifest, match=word) as caught:
            read_stream(text)
        assert len(str(caught.value).splitlines()) == 1

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["spec", "acme", "solvers", "http01", "dns01", "providers", "config", "rules", "http"]
                    )
                    | st.sampled_from(["paths", "backend", "metadata", "annotations", "name", "tls", "x"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=20,
        ),
        st.sampled_from(["Issuer", "ClusterIssuer", "Certificate", "CertificateRequest", "Ingress", "Gateway"]),
        st.sampled_from(["cert-manager.io/v1alpha2", "certmanager.k8s.io/v1alpha1", "extensions/v1beta1"]),
    )
    def test_never_fails(self, value: Any, kind: str, version: str) -> None:
        """Whatever stands where a field is expected, the conversion ends and its output can be written."""
        body = value if isinstance(value, dict) else {"spec": value}
        found = convert([{**body, "apiVersion": version, "kind": kind}])
        assert yaml.safe_load(write_stream(found.objects) or "null") == (
            json.loads(json.dumps(found.objects[0])) if found.objects else None
        )

    @pytest.mark.parametrize("text", ["\x85", "a\u2028b", "\u2029", "x\x85 y", "a\nb\x85c"])
    def test_line_ends_of_other_kinds(self, text: str) -> None:
        """What YAML takes for an end of a line comes out as it went in."""
        found = [{"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": text}}]
        for loader in (yaml.SafeLoader, yaml.CSafeLoader):
            assert list(yaml.load_all(write_stream(found), loader)) == found


class TestCommand:
    def test_files(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Several files are one input: objects go to stdout, one note a line to stderr, status 0."""
        first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
        config = [{"domains": ["a.example"], "http01": {"ingressClass": "istio"}}]
        first.write_text(
            yaml.safe_dump(certificate(issuerRef={"name": "le", "kind": "ClusterIssuer"}, acme={"config": config}))
        )
        second.write_text(yaml.safe_dump(issuer({"server": "https://a.example/dir", "eamil": "x"})))
        assert main(["convert", str(first), str(second)]) == 0
        out, err = capsys.readouterr()
        solver = list(yaml.safe_load_all(out))[1]["spec"]["acme"]["solvers"][0]
        assert solver == {"selector": {"dnsNames": ["a.example"]}, "http01": {"ingress": {"class": "istio"}}}
        assert err == (
            "mesh-signer convert: ClusterIssuer le: spec.acme.eamil: misspelt: email is meant; "
            "it had no effect until now\n"
        )

    def test_json(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """-o json has objects and notes in one document, for programs."""
        stream = io.TextIOWrapper(io.BytesIO(yaml.safe_dump(certificate(zzz=1)).encode()))
        monkeypatch.setattr(sys, "stdin", stream)
        assert main(["convert", "-o", "json"]) == 0
        out, err = capsys.readouterr()
        document = json.loads(out)
        assert document["items"][0]["apiVersion"] == "cert-manager.io/v1"
        assert [(note["object"], note["field"]) for note in document["notes"]] == [("Certificate n/c", "spec.zzz")]
        assert err == ""

    def test_unreadable(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file that cannot be read ends the command with status 2 and its name, and nothing is written."""
        bad = tmp_path / "bad.yaml"
        bad.write_bytes(b"a: \xff")
        assert main(["convert", str(bad)]) == 2
        out, err = capsys.readouterr()
        assert (out, err) == ("", f"mesh-signer convert: {bad}: no UTF-8\n")
        assert main(["convert", str(tmp_path / "none.yaml")]) == 2
        assert "none.yaml" in capsys.readouterr().err


class TestInjection:
    @pytest.mark.parametrize("kind", ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService"])
    @pytest.mark.parametrize("name", ["inject-ca-from", "inject-ca-from-secret", "inject-apiserver-ca"])
    @pytest.mark.parametrize("group", ["certmanager.k8s.io", "cert-manager.io"])
    def test_who_asks_for_a_ca(self, group: str, name: str, kind: str) -> None:
        """An object that asks for a CA asks by today's annotation, and a person reads what fills it in."""
        obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "annotations": {f"{group}/{name}": "b/c"}}}
        found = convert([obj])
        (new,) = found.objects
        assert new == obj | {"metadata": {"name": "a", "annotations": {f"cert-manager.io/{name}": "b/c"}}}
        assert any("components/ca-injector" in note.message for note in found.notes)

    def test_who_does_not(self) -> None:
        """One that asks for nothing passes as it is, without a word."""
        obj = {"apiVersion": "v1", "kind": "APIService", "metadata": {"name": "a", "annotations": {"b": "c"}}}
        assert convert([obj]) == Converted((obj,), ())
