"""Text to settings, every problem at once. Pure."""
