"""The split view: baseline and optimised pipeline side by side on the same frames, in a browser."""
