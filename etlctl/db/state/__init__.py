"""The state database: leases and pools of tasks being run, history; losing it loses memory, never data."""
