"""The kit that every service stands on. No business noun lives outside `shared.contracts`."""
