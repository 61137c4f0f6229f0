"""A department system that misbehaves on purpose; see README.md."""
