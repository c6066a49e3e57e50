"""Amazon Redshift as a Dialect (`dialect.py`), and what it consists of."""
