//! What every sansocket adapter shares.
