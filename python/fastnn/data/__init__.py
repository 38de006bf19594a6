"""The data of a call: rows, tables, classes and the validation split. No model is known here."""
