"""The index over HTTP: a published generation, held in memory and served as it is."""
