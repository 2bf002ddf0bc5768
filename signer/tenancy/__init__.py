"""Who may have what from whom: pure, given its time."""
