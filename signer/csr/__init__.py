"""The hot path: CertificateSigningRequests."""
