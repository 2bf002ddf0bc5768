"""Do the tests notice? One-line faults, planted one at a time in a copy of the code; a unit test must fail for each.

`make mutants` runs them all. It never touches the working tree, and needs no server.
"""
