"""What cleaning and annotation propose, and what people decide of it."""
