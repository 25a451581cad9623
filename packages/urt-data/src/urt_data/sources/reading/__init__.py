"""Files of others, read from anywhere and believed in nothing: rows of tables and JSON, members of archives."""
