"""The only place that reads pickles: runs in a child process, imports nothing but the standard library.

Nothing in here ever calls what a pickle names. The bytes are taken apart into descriptions of tensors and plain
values, and go back to the parent as a safetensors file and JSON.
"""
