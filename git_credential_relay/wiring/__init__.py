"""What the relay changes on a machine, and how it is undone."""
