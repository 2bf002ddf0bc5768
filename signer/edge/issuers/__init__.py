"""ACME issuers: their specs, their accounts, and which of them an order goes to."""
