"""Triton's model repository, made from the released models."""
