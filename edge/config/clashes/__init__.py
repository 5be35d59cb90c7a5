"""Clashes: keys that are right by themselves and wrong together."""
