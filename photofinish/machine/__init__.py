"""What this machine is and does: addresses, processor, processes, GPUs, and the metrics of a Triton server."""
