//! The dialects of a cluster, on what real peers said to each other. See `../vectors/cluster/README.md`.

mod bridge;
mod counting;
mod emitter;
mod forwarding;
mod forwarding_shares;
mod fuzzed;
mod meaning;
mod nodes;
mod recovery;
mod rows;
mod stories;
mod taken_late;
mod tolerance;
mod transcripts;
mod vectors;
mod world;
mod writing;
