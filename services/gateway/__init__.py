"""The public door: a photo in, the product's offers out."""
