"""What must outlive a cluster: as a stream of YAML, and how it comes back."""
