"""Deliberate faults in the program, one at a time, and the test that finds each."""
