"""What a run cost and where it ran: time, throughput, memory, parameters, environment. One module each."""
