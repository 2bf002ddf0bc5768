"""PodCertificateRequests and ClusterTrustBundles: workloads that get key, chain and roots from their kubelet."""
