//! A stream, and the keys beside it, in the memory of a process: what the dialect of streams needs of Redis.

use bytes::Bytes;
use sansocket_protocol::cluster::node::{EntryId, StreamEntry};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The entries that are kept, as the peers keep them.
const LONGEST: usize = 10_000;
/// The keys that are kept.
const MOST_KEYS: usize = 100_000;

/// One stream for all who name any.
#[derive(Default)]
pub(super) struct Log {
    entries: VecDeque<(EntryId, Arc<StreamEntry>)>,
    last: u64,
    keys: BTreeMap<String, (Instant, Bytes)>,
}

impl Log {
    /// The id of the last entry.
    pub(super) fn end(&self) -> EntryId {
        EntryId::new(self.last, 0)
    }

    pub(super) fn append(&mut self, fields: &[(&'static str, String)]) {
        self.last += 1;
        let id = self.end();
        let fields = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        let entry = Arc::new(StreamEntry { id: id.to_string(), fields: fields.collect() });
        self.entries.push_back((id, entry));
        if self.entries.len() > LONGEST {
            self.entries.pop_front();
        }
    }

    /// The first entry behind that one.
    pub(super) fn after(&self, read: EntryId) -> Option<(EntryId, Arc<StreamEntry>)> {
        let at = self.entries.partition_point(|(id, _)| *id <= read);
        self.entries.get(at).cloned()
    }

    /// The id before the first entry.
    pub(super) fn before_first(&self) -> EntryId {
        EntryId::new(self.last.saturating_sub(self.entries.len() as u64), 0)
    }

    /// Whether entries behind that one are gone.
    pub(super) fn has_gap(&self, read: EntryId) -> bool {
        read < self.before_first()
    }

    /// The entries from that one on, up to so many.
    pub(super) fn page(&self, from: EntryId, count: usize) -> Vec<Arc<StreamEntry>> {
        let at = self.entries.partition_point(|(id, _)| *id < from);
        self.entries.range(at..).take(count).map(|(_, entry)| entry.clone()).collect()
    }

    pub(super) fn save(&mut self, key: String, value: Bytes, time: Duration) {
        let now = Instant::now();
        if self.keys.len() >= MOST_KEYS {
            self.keys.retain(|_, (until, _)| *until > now);
        }
        if self.keys.len() < MOST_KEYS {
            self.keys.insert(key, (now + time, value));
        }
    }

    /// The value of a key, which is gone with that, and whether there is an entry of that id.
    pub(super) fn take(&mut self, key: &str, offset: EntryId) -> (Option<Bytes>, bool) {
        let found = self.keys.remove(key).filter(|(until, _)| *until > Instant::now());
        let has_offset = self.entries.binary_search_by_key(&offset, |(id, _)| *id).is_ok();
        (found.map(|(_, value)| value), has_offset)
    }
}
