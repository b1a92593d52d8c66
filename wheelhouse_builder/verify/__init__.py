"""Evidence that a wheel loads on Alpine."""
