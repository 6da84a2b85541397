"""The memory: SQLAlchemy Core over SQLite and PostgreSQL. One read transaction in, one snapshot out; one plan in, one
write transaction, ``Applied`` out. Never decides; never imported by jobs or execution.
"""
