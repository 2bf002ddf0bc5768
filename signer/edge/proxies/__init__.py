"""The gateways' Pods: which serve a Gateway, and what they answer when they are looked at."""
