"""The agent-centre protocol, sans-I/O. Pure."""
