"""Disconnects to incidents. Pure."""
