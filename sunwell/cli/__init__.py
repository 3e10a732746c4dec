"""The command line: commands, the live view, exit codes."""
