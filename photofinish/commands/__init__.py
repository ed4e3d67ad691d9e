"""One module per subcommand of `photofinish`."""
