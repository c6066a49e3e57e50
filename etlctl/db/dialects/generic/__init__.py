"""Any other SQLAlchemy database as a Dialect (`dialect.py`), and what it consists of."""
