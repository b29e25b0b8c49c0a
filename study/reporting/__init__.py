"""What people see of a study while it runs: the screen, W&B, pictures, where its time goes."""
