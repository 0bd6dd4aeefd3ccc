"""Measuring speed, memory and size of model files, each in a process of its own."""
