"""What vLLM resolves from settings, model and GPU before it allocates anything, release by release."""
