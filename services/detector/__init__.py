"""Finds the products in a photo."""
