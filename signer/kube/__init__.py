"""How the signer talks to a Kubernetes API server: client, reflector, queue, leases. Knows no domain resource."""
