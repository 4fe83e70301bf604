"""The cloud side: decides who may have which token, mints it at the forge, and records it."""
