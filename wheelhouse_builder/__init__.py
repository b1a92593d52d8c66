"""Builds the musllinux wheels that are missing, proves that they load on Alpine, and publishes a wheelhouse."""

__version__ = "1.0.0"
