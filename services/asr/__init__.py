"""Sound in, words that will not change any more out."""
