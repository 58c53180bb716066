"""Filling the catalogue, and knowing what is missing in it."""
