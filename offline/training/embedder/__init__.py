"""The embedder: a crop becomes a unit vector of 512 numbers, near to the vectors of the same product."""
