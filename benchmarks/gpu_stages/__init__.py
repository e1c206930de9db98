"""The stages of benchmarks/gpu.py, each with a function `run(options, notes)`; see there."""
