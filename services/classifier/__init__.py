"""The category vote: the detector's opinion and the nearest neighbours' categories, weighted."""
