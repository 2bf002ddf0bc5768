"""What is given to others: `python -m release` writes dist/, and the image's build takes two scripts from here.

`prepare` and `sbom` also run in the image's first stage, so they know nothing of the rest. Nothing is concurrent.
"""
