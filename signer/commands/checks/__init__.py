"""What `mesh-signer doctor` looks at: each check is a pure function from Facts to findings."""
