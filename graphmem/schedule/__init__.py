"""Graph -> Schedule: one builder for each way of running a graph."""
