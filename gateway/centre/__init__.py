"""The ingest server's I/O: links, store, metrics."""
