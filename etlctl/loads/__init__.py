"""The task classes that move data: what they declare, and how a run goes; each database's own SQL is in db/dialects."""
