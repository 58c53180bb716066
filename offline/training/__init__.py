"""Training of the released models."""
