"""Writes the Helm chart charts/mesh-signer out of the kustomizations in manifests, so that there is one source for both.

`python -m charts.generate` writes the files, `python -m charts.generate --check` says whether they are up to date. What
kustomize builds of the base, of each component and of the overlay beside cert-manager is compared object by object: what
all have stands in a template as it is, what only some have stands below an `if` of the component's value. Names of
namespaces, and the few fields that a value sets, become holes. `components` is the table of components, `values` has every
value with its description and what it may be; values.yaml, values.schema.json and README.md come out of it.

Everything but `built` (which runs `kubectl kustomize`) and `__main__` is pure. Nothing is concurrent here.
"""
