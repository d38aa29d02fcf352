"""Registers perfgate's plugin, and pytester for the tests of whole pytest runs."""

pytest_plugins = ["perfgate.plugin", "pytester"]
