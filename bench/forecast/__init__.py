"""What a grid will train and what it will take, told without weights or a GPU and before anything runs.

counting      parameters, on the meta device
fakes         an adapted model on tensors that have a shape and a device, and no memory
tracking      bytes that are live while such a model trains
shapes        the largest batch that the training will see
steps         one optimiser step of one method on one task: FLOPs, memory, size of what is saved
fitting       what a profile has, and what a step needs of it
seconds       how long a cell takes, from records or from a rate
grid          all of it, a row for each method and task
request       the same for what `run` was asked for
"""

from bench.forecast.counting import Count, Frame, counts, frame

__all__ = ["Count", "Frame", "counts", "frame"]
