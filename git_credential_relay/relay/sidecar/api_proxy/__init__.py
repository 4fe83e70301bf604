"""gh's socket mode: HTTP from gh on a unix socket, https to the forge, with a fresh token each."""
