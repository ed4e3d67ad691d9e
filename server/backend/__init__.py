"""What opens, checks and runs a model, in the process that the bridge or Triton's Python backend starts for it.

This package is copied whole beside Triton, as `photofinish_backend`, and `photofinish perf` loads it from its folder:
it imports itself relatively and nothing else of Photofinish.
"""
