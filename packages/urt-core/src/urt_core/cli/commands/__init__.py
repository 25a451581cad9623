"""One file per command. `urt bench` has several, in a room of its own."""
