"""The pure half of `mesh-signer explain`: the requests that it takes, what would become of each, and why."""
