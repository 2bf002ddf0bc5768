"""Gateways, Ingresses and their routes: what they want, and the Certificates and Secrets that are kept for them."""
