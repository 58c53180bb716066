"""Boxes for many pictures from boxes for a few: rounds of training, predicting, accepting and asking."""
