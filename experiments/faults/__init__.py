"""Faults on purpose: a soak with one a minute, and signals at random moments of every command."""
