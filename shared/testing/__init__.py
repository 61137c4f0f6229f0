"""What tests of every service use: an issuer of tokens, commands by hand, waiting with a deadline."""
