"""gh with a fresh token: the program that stands in front of it, and what it decides."""
