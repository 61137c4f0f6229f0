"""Programs that an integrator may copy; they know the public contract only."""
