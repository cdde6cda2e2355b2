"""Small damages to the rooms whose figures must be right, and whether the tests notice: see docs/mutation.md."""
