"""How Triton runs: the embedded server and its Python-based backends."""
