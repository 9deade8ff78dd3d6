"""The centre's store: SQLite, one writer thread, commit before ack."""
