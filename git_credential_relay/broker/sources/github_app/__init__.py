"""Tokens of a GitHub App: its own JWT, its installations, and what they give."""
