"""Where vended tokens are kept for the next asker: memory, or shared by replicas."""
