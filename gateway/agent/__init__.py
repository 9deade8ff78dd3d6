"""The daemon's I/O: buses, spool, uplink."""
