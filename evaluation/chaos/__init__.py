"""Scans and catalogue writes go on while parts of a real mesh are killed, frozen, slowed and filled up."""
