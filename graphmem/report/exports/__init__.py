"""Files that other programs open: snapshots, viewers' documents, notes in a copy of the model."""
