"""The training platform of embedders: every direction of the field a switch of one YAML file, alone or combined."""
