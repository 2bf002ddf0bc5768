"""Orders: from a CertificateRequest of an ACME issuer to the certificate, and when it is renewed."""
