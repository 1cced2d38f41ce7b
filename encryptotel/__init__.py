"""The program: configuration, the operator, the command line, and the wiring of all parts."""

__version__ = "0.1.0"
