"""From texts to scores: cut into rows of tokens, run with others of like length, read by heads or asked."""
