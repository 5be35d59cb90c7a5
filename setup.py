"""All but the native module stands in pyproject.toml. Without a compiler, or Python's headers, Edge does without it."""

from setuptools import Extension, setup

setup(ext_modules=[Extension("edge.dns._turn", ["edge/dns/_turn.c"], optional=True)])
