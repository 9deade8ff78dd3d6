"""Modbus RTU frames and registers: what bytes mean. Pure."""
