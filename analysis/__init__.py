"""Statistics, figures and reports of finished studies."""
