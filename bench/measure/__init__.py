"""What a run cost and where it ran: time, memory, parameters, FLOPs, environment. One module each."""
