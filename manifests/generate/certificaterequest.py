"""CertificateRequest: one request for one certificate, never used twice."""

from manifests.generate.references import conditions, issuer_reference, usages
from manifests.generate.schema import Rule, Schema, boolean, record, string, strings


def _kept(condition: str) -> Rule:
    there = "{object}.status.conditions.exists(c, c.type == '" + condition + "')"
    return (
        (
            f"!(has(oldSelf.status) && has(oldSelf.status.conditions) && {there.format(object='oldSelf')})"
            f" || (has(self.status) && has(self.status.conditions) && {there.format(object='self')})"
        ),
        f"{condition} cannot be taken back",
    )


REQUEST_RULES: tuple[Rule, ...] = (_kept("Approved"), _kept("Denied"))
"""Rules over the whole object: a decision stays."""


def request_spec() -> Schema:
    """Spec of a CertificateRequest; it cannot be changed."""
    return record(
        "What is asked for. It cannot be changed once it is made.",
        {
            "duration": string("Lifetime to ask for, as 24h or 90m; 2160h (90 days) when unset."),
            "extra": {
                "description": "More about the requester, as the API server knows him.",
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": "string"}},
            },
            "groups": strings("Groups of the requester."),
            "isCA": boolean("Ask for a CA certificate; must agree with the request's own basic constraints."),
            "issuerRef": issuer_reference("Who signs."),
            "request": string("The PKCS #10 request as PEM (RFC 2986), in base64.", format="byte", minLength=1),
            "uid": string("UID of the requester."),
            "usages": usages(
                "What the key may be used for; must agree with the request's own extensions."
                " digital signature and key encipherment when unset."
            ),
            "username": string("Name of the requester."),
        },
        required=["issuerRef", "request"],
        rules=[("self == oldSelf", "spec cannot be changed; make a new CertificateRequest")],
    )


def request_status() -> Schema:
    """Status of a CertificateRequest."""
    listed = conditions(
        "Approved or Denied: the decision. Ready: the certificate is there. InvalidRequest: it never can be.",
        "Ready, InvalidRequest, Approved, Denied",
        observed_generation=False,
    )
    listed["items"]["x-kubernetes-validations"] = [
        {
            "rule": "!(self.type in ['Approved', 'Denied']) || self.status == 'True'",
            "message": "Approved and Denied can only be True",
        },
        {
            "rule": "!(oldSelf.type in ['Approved', 'Denied']) || self == oldSelf",
            "message": "Approved and Denied cannot be changed once set",
        },
    ]
    listed["x-kubernetes-validations"] = [
        {
            "rule": "!(self.exists(c, c.type == 'Approved') && self.exists(c, c.type == 'Denied'))",
            "message": "Approved and Denied cannot both be set",
        },
    ]
    return record(
        "What came of it; written by approvers and the controller.",
        {
            "ca": string("Certificate of the CA as PEM, in base64, if it is known.", format="byte"),
            "certificate": string("The certificate and its chain as PEM, in base64.", format="byte"),
            "conditions": listed,
            "failureTime": string("When the request failed for good.", format="date-time"),
        },
    )
