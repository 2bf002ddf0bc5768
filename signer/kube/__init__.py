"""How we talk to an API server: bytes, watches, queues, leases. Knows no domain resource."""
