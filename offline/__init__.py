"""Jobs that build the catalogue and the models; nothing here runs while a photo is scanned."""
