"""The task classes that move data: what they declare and how a run of them goes; the SQL of each database is in db/dialects."""
