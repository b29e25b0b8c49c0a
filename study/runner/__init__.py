"""Running a study's trials on Ray: the only files that know it."""
