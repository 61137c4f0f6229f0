"""What the containers need besides the programs: their secrets, their start, and the question whether they are ready."""
