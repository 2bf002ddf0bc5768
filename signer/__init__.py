"""The controller: it watches an API server and signs what tenants may have.

Everything that knows Kubernetes lives here; `issuers` makes the certificates and knows none of it.
"""

__version__ = "0.1.0"
