"""What must hold in every row: a small rule language, profiles of extractors, check, derive and repair."""
