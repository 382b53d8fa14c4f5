"""What served traffic looks like, against the training data."""
