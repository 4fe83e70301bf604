"""The whole thing on loopback with real git: playground forges, the real broker, agents."""
