"""How the memory writer learns to decide: simulated decisions, labels, adapters."""
