"""HTTP-01: the answer of a challenge, through the gateway that serves the host."""
