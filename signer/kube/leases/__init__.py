"""Leases: one leader, or members that know of each other."""
