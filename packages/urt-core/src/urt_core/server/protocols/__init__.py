"""What clients that exist speak: OpenAI's chat, Flow-Factory's rewards with groups, and other reward services' requests."""
