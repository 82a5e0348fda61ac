"""Latent diffusion on tensors; knows nothing of tables."""
