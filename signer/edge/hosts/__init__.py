"""Who may have which public host: EdgePolicies, HostClaims, and the records that they keep."""
