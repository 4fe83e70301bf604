"""The database's history: each file in versions takes it one step further."""
