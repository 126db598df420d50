"""Messages to domain values and back, with all checks that need no model. Knows nothing of calls or of the engine."""
