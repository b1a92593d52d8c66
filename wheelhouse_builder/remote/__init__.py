"""A generation beyond this machine: wheels first, pages last, verified, and never over different content."""
