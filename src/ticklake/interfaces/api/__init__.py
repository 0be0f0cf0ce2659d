"""The HTTP server: the verbs of a lake as REST, for programs and pages."""
