"""One cell, in named steps: data, batches, model, adaptation, loop, evaluation."""
