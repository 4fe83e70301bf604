"""The whole relay on loopback with real git: a playground forge, a small cloud API, an agent."""
