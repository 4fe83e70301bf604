"""The resident relay: it holds the secret and the tokens, and git's own client asks it."""
