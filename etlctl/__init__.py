"""etlctl: a command-line ETL runner."""

__version__ = "0.1.0"
