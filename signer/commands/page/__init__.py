"""What `mesh-signer ui` shows, and how: read, put together, served; the page itself is in assets/."""
