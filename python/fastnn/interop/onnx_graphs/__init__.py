"""Graphs of ONNX as models: a file, its values as terms, terms as layers, layers as a model."""
