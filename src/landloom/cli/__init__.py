"""The command line: thin, and slow imports stay inside the commands that need them."""
