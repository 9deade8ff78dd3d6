"""What to ask and when. Pure."""
