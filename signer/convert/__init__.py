"""Turns manifests of earlier years into today's; see docs/edge.md."""
