"""SignerRecord: what is remembered of a mesh signer, so that a restart forgets nothing; written by us alone."""

from manifests.generate.schema import Schema, boolean, list_of, record, string, strings
from signer.tenancy.records import MOST_CERTIFICATES, MOST_MESH_CONFIGS


def record_spec() -> Schema:
    """Spec of a SignerRecord; it cannot be changed."""
    return record(
        "Which signer it is about. It cannot be changed.",
        {
            "signerName": string(
                "The signer, as clusterissuers.cert-manager.io/foo or issuers.cert-manager.io/bar.foo.", maxLength=512
            ),
        },
        required=["signerName"],
        rules=[("self == oldSelf", "spec cannot be changed")],
    )


def record_status() -> Schema:
    """Status of a SignerRecord."""
    certificate = record(
        "A certificate.",
        {
            "certificate": string("The certificate: DER in base64.", maxLength=16384),
            "firstSeenTime": string("When it was first recorded.", format="date-time"),
            "role": string("CA: the signer's own; Above: one above it in its chain.", enum=["CA", "Above"]),
        },
        required=["role", "certificate"],
    )
    return record(
        "What keeps the wall up, and what no other object says; written by mesh-signer.",
        {
            "certificates": list_of(
                "Those of the CA and above it, now and before: their keys stay behind the wall.",
                certificate,
                maxItems=MOST_CERTIFICATES,
            ),
            "givenOut": boolean("Whether a SignerPolicy names the signer."),
            "givenOutUntilTime": string("When the last SignerPolicy that named it went away.", format="date-time"),
            "meshConfigs": strings(
                "The ConfigMaps that name the signer, or did when they were last readable.",
                maxItems=MOST_MESH_CONFIGS,
            ),
        },
    )
