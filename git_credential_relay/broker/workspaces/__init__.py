"""Workspaces: where they are found, how they are made, changed and shown."""
