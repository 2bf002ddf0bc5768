"""Writes the CustomResourceDefinitions in manifests/crds from one source, so that what two kinds share is written once.

`python -m manifests.generate` writes the files, `python -m manifests.generate --check` says whether they are up to date.
The field names, types and limits of cert-manager.io/v1 are those of cert-manager's API; the descriptions are this
project's own. No validation there is stricter than what cert-manager's own CRDs and webhook accept, so that every object
moves over. The kinds of mesh-signer.dev are this project's own; they stand in a folder of their own, to be applied
beside cert-manager's CRDs.
"""
