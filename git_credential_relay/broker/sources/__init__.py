"""Where tokens come from: one interface, one module or folder per kind of forge."""
