"""The backends of the embedded server: what opens, checks and runs a model in the process that Triton or the bridge
starts.

This package is copied whole beside Triton, as `photofinish_backend`, and `photofinish perf` loads it from its folder:
it imports itself relatively and nothing else of Photofinish.
"""
