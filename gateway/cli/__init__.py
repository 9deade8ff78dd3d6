"""One module per verb; talks to the person, never to a bus or a socket of its own protocol."""
