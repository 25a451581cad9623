"""A micro-batch in one row with each prompt once, and what attention and recurrent layers make of it."""
