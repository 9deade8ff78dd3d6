"""Fault injectors, one module per kind of thing they break. See `hil.injector`."""
