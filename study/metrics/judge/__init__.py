"""Who judges samples: a dataset's classifier, what metrics are computed from, and the floor."""
