"""broker.toml: its form, and reading it with the line of each mistake."""
