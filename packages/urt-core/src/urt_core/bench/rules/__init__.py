"""What counts as right: rules as data, and the counting that follows them."""
