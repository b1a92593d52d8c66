"""From requirements to a lock for one target (PEP 751), and from a lock to what is fetched or built."""
