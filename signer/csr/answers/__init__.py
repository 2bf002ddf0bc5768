"""From a verdict to a stored answer: the bytes, the signature, the write."""
