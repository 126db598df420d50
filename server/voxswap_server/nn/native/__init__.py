"""Kernels of our own for CPUs, compiled for the processor at hand when they are first needed.

Knows nothing of networks: products of few rows with large matrices, and a team of threads that works on one of them.
"""
