"""Bytes from and to the outside: archives, layouts, registries."""
