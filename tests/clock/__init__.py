"""The unit tests as if it were another year: `python -m tests.clock`."""
