"""What a study's tables say: statistics, figures, reports. Never imports torch, ray or wandb."""
