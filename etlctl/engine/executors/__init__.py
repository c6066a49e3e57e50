"""Where attempts are carried out; one file per executor, each behind the same small protocol."""
