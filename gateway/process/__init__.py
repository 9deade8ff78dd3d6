"""I/O that both daemons share: files, clock, signals, notify, TLS, logs."""
