"""Whether gateways serve what was written."""
