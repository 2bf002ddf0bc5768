"""The Secret of a Certificate: what it holds, what it should hold, and whose it is."""
