"""Which versions of a resource a cluster serves, and following one whose definition comes late or changes."""
