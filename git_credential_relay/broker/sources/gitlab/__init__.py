"""Tokens for GitLab: access tokens per lease, an OAuth pair, or a token somebody made."""
