"""Vectors of the catalogue's pictures, sharded by category."""
