"""The mesh config: reading and editing never fail, and an edit changes the roots that it says, and nothing else that we read."""

from signer.api.names import is_label, is_trust_domain
from signer.tenancy.meshconfig.edit import edit_mesh_config, in_step
from signer.tenancy.meshconfig.read import read_mesh_config
from signer.tenancy.world import MeshConfig, Settings
from tests.fuzz.roots import BAR, FOO, FOO_RENEWED

SIGNERS = tuple(f"clusterissuers.cert-manager.io/{name}" for name in ("foo", "bar"))
SETTINGS = Settings(signer_domain="clusterissuers.cert-manager.io")
WORDS = (
    *(f"{name}:".encode() for name in ("trustDomain", "caCertificates", "certSigners", "pem", "rootNamespace")),
    *(f"{name}:".encode() for name in ("ca_certificates", "cert_signers", "spiffeBundleUrl", "trustDomains")),
    b"defaultConfig:",
    b"proxyMetadata:",
    b"ISTIO_META_CERT_SIGNER: foo",
    *(signer.encode() for signer in SIGNERS),
    b"- ",
    b"|\n",
    b"|+\n",
    b">-\n",
    b"&a ",
    b"*a",
    b"<<: *a",
    b"---\n",
    b"...\n",
    b"!!binary ",
    b"\r\n",
    b"# ",
    b"? ",
    b'"\\u0041"',
    b"{",
    b"}",
    b"[",
    b"]",
)
ROOTS = {SIGNERS[0]: FOO_RENEWED, SIGNERS[1]: BAR}


def run(data: bytes) -> None:
    """Raise when a promise is broken."""
    # The word PEM stands for a certificate, which libFuzzer would not find.
    text = data.decode("utf-8", "replace").replace("@FOO@", FOO.replace("\n", "\\n"))
    before = _read(text)
    for force in (False, True):
        edited = edit_mesh_config(text, ROOTS, force=force)
        assert all(told.isprintable() for told in (*edited.changes, *edited.refused)), edited
        if not edited.changes:
            assert edited.text == text
            continue
        after = _read(edited.text)
        assert _beside_roots(after) == _beside_roots(before)
        refused = {told.partition(": ")[0] for told in edited.refused}
        for signer, root in ROOTS.items():
            entries = [one for one in after.authorities if signer.rpartition("/")[2] in {s.name for s in one.signers}]
            if signer not in refused:
                assert entries, f"{signer} has no entry"
                assert all(in_step(one.pem, root) for one in entries)
        again = edit_mesh_config(edited.text, ROOTS, force=force)
        assert again.text == edited.text, again.changes


def _read(text: str) -> MeshConfig:
    config = read_mesh_config({"istio": {"mesh": text}}, SETTINGS)
    assert all(map(is_trust_domain, config.trust_domains))
    assert is_label(config.root_namespace)
    assert all(problem.isprintable() and len(problem) < 2000 for problem in config.problems), config.problems
    return config


def _beside_roots(config: MeshConfig) -> tuple[object, ...]:
    return config.trust_domains, config.root_namespace, config.defaults
