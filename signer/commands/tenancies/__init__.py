"""What `tenants` and `release` rest on: who has which signer and why, and how a person names one."""
