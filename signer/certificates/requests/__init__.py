"""CertificateRequests, whoever made them."""
