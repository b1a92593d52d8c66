"""Engines: how a job becomes a raw wheel."""
