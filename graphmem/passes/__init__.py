"""Graph -> Graph: another precision, fewer channels."""
