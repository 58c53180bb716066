"""A polite crawler of shops: their products, as feeds that the catalogue imports."""
