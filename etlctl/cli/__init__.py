"""The command line: parses words, calls the application once, shows what came of it. No SQL, no walking of graphs."""
