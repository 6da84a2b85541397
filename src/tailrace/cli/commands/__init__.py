"""One module per command or group of commands; ``cli.lazy`` imports them by name when they are invoked."""
