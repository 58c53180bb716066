"""Pixels only: decoding, boxes, crops, preprocessing and perceptual hashes, on numpy arrays."""
