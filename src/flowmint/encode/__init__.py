"""Flow tables to float tensors and back, exactly."""
