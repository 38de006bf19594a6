"""Estimators for tables: columns of all kinds in, answers of several networks out."""
