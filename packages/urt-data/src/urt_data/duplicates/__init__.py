"""What is there twice: a record, a pair with two verdicts, a picture again, an evaluation set in the training data."""
