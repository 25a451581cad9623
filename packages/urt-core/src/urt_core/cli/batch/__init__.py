"""A file of requests: its rows in, one line per result out, with progress between them."""
