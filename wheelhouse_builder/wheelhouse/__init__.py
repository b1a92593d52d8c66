"""The wheelhouse: wheels flat on top, their records, and the published generations of the index."""
