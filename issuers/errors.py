"""The ways in which making a certificate can fail, one class for each thing the caller does next.

    MalformedRequest   the CSR cannot be accepted as it is: refuse for good
    TemplateError      the wish itself cannot become a certificate: refuse for good
    InvalidAuthority   the CA cannot be used until someone mends its Secret: wait
    SigningFailed      what was signed is not what was decided: never store it

Messages are for people and never hold key material. Concurrency: exceptions only, nothing shared.
"""


class MalformedRequest(ValueError):
    """A CSR that cannot be accepted. `field` says where ("request", "request.publicKey", ...); str() begins with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class TemplateError(ValueError):
    """A wish that cannot become a certificate. `field` is the Kubernetes field ("usages", "isCA", "duration", ...)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class InvalidAuthority(ValueError):
    """A CA that must not sign. `reason` is CamelCase for a condition, `field` the Secret's key ("tls.crt", ...)."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.reason = reason
        self.field = field


class SigningFailed(Exception):
    """What was signed does not equal what was decided: our own fault or a broken key. The result is thrown away."""
