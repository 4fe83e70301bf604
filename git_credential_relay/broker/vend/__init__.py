"""The chain a request for a token goes through: audit, authorise, cache, single flight, mint."""
