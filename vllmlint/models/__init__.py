"""What a model is made of: its architecture, parameters and where its facts come from."""
