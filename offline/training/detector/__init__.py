"""The released detector: a RetinaNet trained on composites and on photos with drawn or derived boxes."""
