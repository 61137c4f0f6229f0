"""The command `daibiaotong`: bring the suite up, play the demo, look at it as an operator."""
