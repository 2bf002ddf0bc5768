"""Istio's mesh config: read, within bounds, and written anew in the text of a person."""
