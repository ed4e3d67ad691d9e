"""Weights to artifacts, configs and a published model repository."""
