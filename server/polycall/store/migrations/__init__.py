"""Alembic's environment; see ``polycall.store.schema.upgrade``."""
