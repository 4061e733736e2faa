"""Who is on the picture, and who of them speaks."""
