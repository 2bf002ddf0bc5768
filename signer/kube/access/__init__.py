"""Where the API server is, who we are there, and how that is kept fresh."""
