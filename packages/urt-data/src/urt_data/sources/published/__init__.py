"""One file per published set: its fields, its label rule, its licence. Where sets share a format, the format has a file."""
