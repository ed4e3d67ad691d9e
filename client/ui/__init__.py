"""The split view in a browser."""
