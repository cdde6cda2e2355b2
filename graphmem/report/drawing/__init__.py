"""Pictures of a graph: groups, layout, SVG, DOT."""
