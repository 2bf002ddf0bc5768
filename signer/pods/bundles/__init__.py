"""ClusterTrustBundles: which roots a signer's has, and keeping them."""
