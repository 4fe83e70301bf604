"""The broker as a server: HTTP edge, limits, routes, and the process around them."""
