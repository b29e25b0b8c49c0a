"""Numbers with their intervals and n: arrays and tables in. Random generators are passed in."""
