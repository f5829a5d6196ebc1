"""A run from its configuration: the command line of Lightning, its options and its folder."""
