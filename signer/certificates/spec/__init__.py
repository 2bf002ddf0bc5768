"""What a Certificate asks for: is it one that we can issue, its CSR, and whether what was issued still equals it."""
