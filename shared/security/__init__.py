"""Who acts (signed tokens) and what only one service may read (sealed fields)."""
