"""Models as other programs read them. What a model is to a writer stands in `graph`."""
