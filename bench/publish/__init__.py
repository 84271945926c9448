"""Results made public."""
