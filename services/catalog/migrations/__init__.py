"""Alembic's scripts: how the tables came to be what services/catalog/sql/tables.py says."""
