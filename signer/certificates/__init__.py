"""Issuers, Certificates and CertificateRequests."""
