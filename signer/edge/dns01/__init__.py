"""DNS-01: the TXT record of a challenge, and whether every server of its zone has it."""
