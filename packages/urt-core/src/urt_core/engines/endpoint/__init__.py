"""What an OpenAI-compatible address needs: its profile, connections, pictures in the wire format, and answers read as
data."""
