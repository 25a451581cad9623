"""What an OpenAI-compatible address needs: its profile, connections, requests and pictures in the wire format, answers read
as data, when to ask again, and what may be spent."""
