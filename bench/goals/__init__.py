"""The goals of speed and whether they are met: `python -m bench.goals --help`."""
