"""A run from its configuration: the command line of Lightning, its options and its folder."""

__all__: list[str] = []  # files are imported by name, for each brings what it needs
