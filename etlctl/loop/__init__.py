"""A loop that builds by schedules: turns, its end by signals, health. Known by the command line alone."""
