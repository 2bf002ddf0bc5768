"""Makes certificates: pure functions over bytes and frozen values, no Kubernetes, no network."""
