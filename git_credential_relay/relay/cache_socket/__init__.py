"""The socket of git's credential-cache, which a sidecar serves: what is said, and who asks."""
