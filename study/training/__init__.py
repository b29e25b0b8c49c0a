"""Training a pack: the step as in the papers, the schedule as a generator of progress."""
