"""Training a pack: the step as in the papers, the loop as a generator of progress."""
