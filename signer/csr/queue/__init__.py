"""The requests that have no answer yet: what each waits for, and whose turn it is."""
