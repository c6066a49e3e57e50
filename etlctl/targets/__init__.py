"""The targets that are files or memory, one file each; nothing is imported here, so that each costs only itself."""
