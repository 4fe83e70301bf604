"""What runs in or beside the agent: helper, cache, API client, local sources."""
