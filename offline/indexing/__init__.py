"""Growing the catalogue: what to import, and what imports have changed for those who scan."""
