"""What must outlive a restart: workspaces, leases, OAuth pairs, in a database."""
