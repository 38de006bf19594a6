"""Files of models: the layout of safetensors, and how a model is written in it."""
