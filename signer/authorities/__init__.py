"""Which CA stands behind each signer: issuers and their Secrets, parsed and checked once per change."""
