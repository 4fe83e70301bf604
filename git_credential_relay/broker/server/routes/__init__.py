"""The HTTP edge: requests in, JSON out, nothing decided."""
