"""The checks, one module for each thing they look at; what they share is one level up."""
