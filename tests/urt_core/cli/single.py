"""What one request is about."""

PAIR = ("--task", "image_generation", "--text", "a [red] car in the snow")
