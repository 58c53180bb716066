"""Released models in the formats of other runtimes, each compared with the released file before it is kept."""
