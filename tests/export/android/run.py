"""Runs a LiteRT file on one input from stdin and writes its outputs in their order to stdout: big-endian floats."""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
(images,) = interpreter.get_input_details()
given = np.frombuffer(sys.stdin.buffer.read(), ">f4").astype(np.float32).reshape(images["shape"])
interpreter.set_tensor(images["index"], given)
interpreter.invoke()
for output in interpreter.get_output_details():
    sys.stdout.buffer.write(interpreter.get_tensor(output["index"]).astype(">f4").tobytes())
