//! The dialects of a cluster, on what real peers said to each other. See `../vectors/cluster/README.md`.

mod fuzzed;
mod meaning;
mod tolerance;
mod vectors;
mod writing;
