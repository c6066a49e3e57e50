"""Databases: connections, markers and the load protocol; knows nothing of tasks. Cheap to import: SQLAlchemy waits."""
