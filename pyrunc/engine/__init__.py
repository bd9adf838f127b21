"""The user's verbs, one file each; run.py is the table of contents of the program."""
