"""Each direction of the training platform with and without, on one small budget."""
