"""(Recompute, budget) -> what to keep: one file per strategy, and one evaluator that judges all."""
