"""A clip in, the dubbed clip out: the whole mesh on one file, and a film of what it publishes."""
