"""Named checks that say what works, what does not, and what mends it."""
