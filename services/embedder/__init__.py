"""Turns crops of products into vectors."""
