"""Small stand-ins for faults that a real API server cannot be made to show on demand."""
