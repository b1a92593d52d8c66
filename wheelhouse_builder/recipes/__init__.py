"""Recipes: knowledge about single packages and C libraries, as data."""
