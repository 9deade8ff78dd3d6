"""Raw host evidence to supply, radio, reboot class. Pure."""
