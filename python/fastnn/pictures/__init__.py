"""Pictures of graphs: where boxes and arrows go, and the files that show them. No model is known here."""
