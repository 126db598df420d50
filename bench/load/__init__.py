"""An open-loop load test of a running server: `python -m bench.load --help`."""
