"""Agents on virtual time: the real driver, lease, runner, steps and records in a world that is made to fail."""
