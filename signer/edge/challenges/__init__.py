"""Challenges: whose turn it is, what comes next, and whether the answer can be seen."""
