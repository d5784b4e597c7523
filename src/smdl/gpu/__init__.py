"""What proves the path over a GPU on a machine that has one: agreement with the CPU, resuming, memory, speed."""
