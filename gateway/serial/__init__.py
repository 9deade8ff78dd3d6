"""Plain serial line formats: what bytes mean. Pure."""
