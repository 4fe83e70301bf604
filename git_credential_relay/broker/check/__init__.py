"""`broker check`: what is wrong with a configuration, and with the forges in it."""
