"""What is written into the status of SignerPolicies: counts, namespaces, and whether one says anything."""
