"""Running what the graph says is missing: the runner decides, executors carry out attempts. Knows no database."""
