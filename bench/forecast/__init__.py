"""What a grid will train and take: predicted without weights, data or a GPU.

parameters    counted on the meta device
tracing       a model on tensors without content, and the bytes that are live while it trains
step          one optimiser step of a method on a task: FLOPs, bytes, size of the saved adapter
memory        what a profile offers, and what a step needs
seconds       the time of a cell, from records or from a rate
grid          all of it, a row for each method and task
"""
