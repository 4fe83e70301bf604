"""Who is asking: workspace secrets and workload identity tokens."""
