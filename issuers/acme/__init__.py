"""Certificates from an ACME server (RFC 8555), for the public names of gateways.

Everything here is a pure function over frozen values, with time and randomness as arguments, but for one package:
`issuers.acme.client` alone touches a network. It never decides; it sends one request and gives back a value or raises
one of `errors`. When to go on is said by `errors.judge`, `renewal`, `backoff` and `limits`; what the next step is, by the caller.

The `acme` library signs requests and carries nonces; what a CA answers is read by ourselves (`answers`), as a CA that a
tenant chose is a stranger. docs/adr has the reasons.
"""
