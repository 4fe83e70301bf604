"""Gives git and gh a fresh, short-lived, narrowly scoped credential at the moment of use."""

__version__ = "0.1.0"
