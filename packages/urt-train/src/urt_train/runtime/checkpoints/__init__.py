"""What a run needs to go on: written while training goes on, there completely or not at all."""
