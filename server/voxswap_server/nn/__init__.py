"""Neural networks, one per file: pure functions of weights and explicit state."""
