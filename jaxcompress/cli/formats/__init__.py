"""Formats that others define, a reader and a writer beside each other; from the bottom up.

`extent` reads bytes of a file that does not change meanwhile, `inside` says whether a file is in a
folder. ONNX: `wire` finds the fields of messages of protobuf, `splices` replaces some of them,
`onnx_tensors` says what a tensor of a model is and where its numbers lie, `onnx_graph` finds the
tensors and who uses them, `onnx_axes` follows weights to their products, and `onnx` reads and
writes a model. GGUF: `gguf_header` reads what lies
before the numbers, `gguf_values` keeps the values of it, `gguf_types` are the types of tensors,
`gguf_parts` finds the files of a model, `gguf` reads it and `gguf_writer` writes one.

PyTorch: `pytorch_values` lets it read the pickle of a file, `pytorch_places` finds the numbers in
it, and `pytorch` reads them. Keras: `hdf5_datasets` are those in a file itself, `keras_archive` is
a zip with such a file, and `hdf5` reads both. Orbax: `orbax_folders` says which tree of a folder is
meant. Folders: `new_folder` is there whole or not at all, `safetensors_folder` writes shards with
their index, `compressed_tensors` packs weights into words, and `compressed_tensors_folder` writes
them as servers load them.
"""

__all__ = []
