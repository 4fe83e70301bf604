"""Forgejo and Gitea: a token per lease for a bot user, which only the broker ever ends."""
