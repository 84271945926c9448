"""What a method, a task and a metric are, and the registry that finds them."""
