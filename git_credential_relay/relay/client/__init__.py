"""The client of the relay API: what it asks, what answers mean, when to ask again."""
