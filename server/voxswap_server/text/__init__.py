"""Text to phones, one file per language. No torch."""
