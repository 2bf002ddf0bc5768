"""The parts of CSRs and certificates, each read strictly and written as Go writes it."""
