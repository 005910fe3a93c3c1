"""Formats that others define, a reader and a writer beside each other; from the bottom up.

`extent` reads bytes of a file that does not change meanwhile, `inside` says whether a file is in a
folder. ONNX: `wire` finds the fields of
messages of protobuf, `splices` replaces some of them, `onnx_tensors` says what a tensor of a model
is and where its numbers lie, `onnx_graph` finds the tensors and who uses them, `onnx_axes` follows
weights to their products, and `onnx` reads and writes a model. GGUF: `gguf_header` reads what lies
before the numbers, `gguf_values` keeps the values of it, `gguf_types` are the types of tensors,
`gguf_parts` finds the files of a model, `gguf` reads it and `gguf_writer` writes one.

`orbax_folders` (which step and which tree is meant); `pytorch_values` (the
tensors of a pickle, which PyTorch reads), `pytorch_places` (where their numbers are in the file),
`pytorch` (files and their source); `hdf5_datasets` (what is in a file of HDF5 itself),
`keras_archive` (such a file in a zip), `hdf5` (the source that Keras writes); `new_folder` (folders
whole or not at all), `safetensors_folder` (shards with their index), `compressed_tensors` (weights
in words), `compressed_tensors_folder` (as servers load them).
"""

__all__ = []
