"""Which judge: its `judge.json`, the public ones by name, and the way from a folder, hub id or endpoint to its engine."""
