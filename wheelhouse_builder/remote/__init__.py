"""A generation in an object store: copied objects first, pages last, verified, and never over different content."""
