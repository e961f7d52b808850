"""The project: configuration, servers, the embedded database."""

VERSION = "0.1.0"
