"""A department that accepts and answers its cases; see README.md."""
