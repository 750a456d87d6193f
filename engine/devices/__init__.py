"""Where a graph runs: ONNX Runtime or OpenVINO, behind one protocol. The only importer of both."""
