"""Training a pack: the step as in the papers, the loop as a generator of progress."""

METERS = ("loss_d", "loss_g", "grad_norm_d", "grad_norm_g")  # means over updates, in the tables
