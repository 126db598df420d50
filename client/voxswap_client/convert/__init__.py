"""Values of this package to messages and back. Knows nothing of calls."""
