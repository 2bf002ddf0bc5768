"""Writes the CustomResourceDefinitions in manifests/crds from one source, so that what two kinds share is written once.

`python -m manifests.generate` writes the files, `python -m manifests.generate --check` says whether they are up to date.
The field names, types and limits are those of the cert-manager.io/v1 API; the descriptions are this project's own.
No validation here is stricter than what cert-manager's own CRDs and webhook accept, so that every object moves over.
"""
