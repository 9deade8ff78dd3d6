"""Field gateway: the agent, the control centre and the protocol between them."""

__version__ = "0.1.0"
