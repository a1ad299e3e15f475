//! Nothing: the applications are in `examples/`, and what they are tested for in `tests/`.
