"""The index: what the simple repository API says, as values, and its renderings."""
