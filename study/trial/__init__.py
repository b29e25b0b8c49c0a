"""One trial: its pack trained, its members evaluated, its folder written. No Ray, Optuna or W&B."""
