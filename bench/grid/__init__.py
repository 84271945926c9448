"""What a cell is: identity, seeds, suites, recipes, models."""
