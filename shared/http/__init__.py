"""What the gateway's and the services' HTTP have in common: problems, callers, operations."""
