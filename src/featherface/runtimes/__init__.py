"""Sessions for the runtimes beside ONNX Runtime; each needs its extra. `featherface.runtime` chooses."""
