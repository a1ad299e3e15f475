//! The node of a cluster in the ids of its sessions.

use alloc::string::String;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The mark of a node in the ids of its sessions: their last three characters. A node that gets a request for a session
/// of another, because a load balancer did not send the client to the same node again, can then say so.
///
/// An id keeps its length and its characters, and 102 of its 120 random bits. A mark is made of a node's name and no
/// secret; two nodes of the same mark are possible, and then nothing is said.
///
/// ```
/// use sansocket_protocol::engine::NodeMark;
/// use sansocket_protocol::random::Random;
///
/// let mark = NodeMark::of("a node's name");
/// let id = mark.put_into(Random::new([0; 32]).id());
/// assert_eq!((id.len(), NodeMark::in_id(&id)), (20, Some(mark)));
/// assert_eq!(NodeMark::in_id("an id of another form"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeMark([u8; LENGTH]);

const LENGTH: usize = 3;
/// The length of an id with a mark.
const ID_LENGTH: usize = 20;

impl NodeMark {
    /// The mark of the node of this name.
    pub fn of(name: &str) -> Self {
        // FNV-1a, with its bits mixed as MurmurHash3 ends.
        let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, fnv);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        let text = URL_SAFE_NO_PAD.encode(hash.to_be_bytes());
        let mut mark = [b'A'; LENGTH];
        for (to, from) in mark.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(mark)
    }

    /// The mark in an id; `None` if it is not of the length of ids that have one.
    pub fn in_id(id: &str) -> Option<Self> {
        if id.len() != ID_LENGTH {
            return None;
        }
        id.as_bytes().last_chunk().copied().map(Self)
    }

    /// A fresh id with this mark in place of its last characters.
    pub fn put_into(self, mut id: String) -> String {
        id.truncate(id.len().saturating_sub(LENGTH));
        id.extend(self.0.iter().map(|byte| char::from(*byte)));
        id
    }
}
