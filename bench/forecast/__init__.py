"""What a grid will train and take: predicted without weights, data or a GPU."""
