"""The faults, by the part of the code that they are in."""
