"""Speed, measured on the machine at hand: one file per measurement, each with its reference beside it."""
