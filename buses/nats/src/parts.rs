//! Messages that are larger than the server takes: they leave in parts, and are put together again.
//!
//! Each part has a header `Sansocket-Part: <id> <number> <count>`, where the id is one of the message's own. The parts of a
//! message leave on one connection one after the other, so they come in order; those of several publishers may be mixed.

use async_nats::HeaderMap;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// The name of the header.
const PART: &str = "Sansocket-Part";
/// The bytes that a server counts for the header beside the payload, at most.
const OVERHEAD: usize = 256;
/// The most bytes of an id.
const LONGEST_ID: usize = 64;
/// The least bytes of a payload that is worth being a part.
const LEAST: usize = 256;
/// The bytes that a part counts for beside its own.
const WEIGHT: usize = 96;

/// The parts of a payload for a server that takes messages of `max` bytes; `None` if it fits, or cannot be parted.
pub(crate) fn split(payload: &Bytes, max: usize, id: &str) -> Option<Vec<(HeaderMap, Bytes)>> {
    let each = max.saturating_sub(OVERHEAD);
    if payload.len() <= max || each < LEAST || id.len() > LONGEST_ID {
        return None;
    }
    let count = payload.len().div_ceil(each);
    let part = |number: usize| {
        let mut headers = HeaderMap::new();
        headers.insert(PART, format!("{id} {number} {count}"));
        let from = number * each;
        (headers, payload.slice(from..payload.len().min(from + each)))
    };
    Some((0..count).map(part).collect())
}

/// A message of which parts are missing.
struct Partial {
    id: String,
    count: usize,
    parts: Vec<Bytes>,
    bytes: usize,
}

/// The messages that are being put together, the oldest first: bounded in bytes.
pub(crate) struct Parts {
    partial: VecDeque<Partial>,
    bytes: usize,
    max_bytes: usize,
}

/// Why a part was dropped, and its message with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LostPart {
    #[error("a part of a large message came without those before it")]
    Order,
    #[error("the header of a part of a large message is not what it must be")]
    Header,
    #[error("large messages whose parts are missing have more than {0} bytes: the oldest is dropped")]
    TooMuch(usize),
}

impl Parts {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { partial: VecDeque::new(), bytes: 0, max_bytes }
    }

    /// Takes what has come. Gives back a whole message, if this makes one.
    pub(crate) fn take(
        &mut self,
        headers: Option<&HeaderMap>,
        payload: Bytes,
    ) -> Result<Option<Bytes>, LostPart> {
        let Some(header) = headers.and_then(|headers| headers.get(PART)) else { return Ok(Some(payload)) };
        let (id, number, count) = parse(header.as_str()).ok_or(LostPart::Header)?;
        let known = self.partial.iter().position(|partial| partial.id == id);
        let at = match known {
            Some(at) if number > 0 => at,
            None if number == 0 => {
                let id = id.to_owned();
                self.partial.push_back(Partial { id, count, parts: Vec::new(), bytes: 0 });
                self.partial.len().saturating_sub(1)
            }
            Some(at) => {
                self.forget(at);
                return Err(LostPart::Order);
            }
            None => return Err(LostPart::Order),
        };
        let Some(partial) = self.partial.get_mut(at) else { return Err(LostPart::Order) };
        if partial.parts.len() != number || partial.count != count {
            self.forget(at);
            return Err(LostPart::Order);
        }
        let weight = payload.len().saturating_add(WEIGHT);
        partial.parts.push(payload);
        partial.bytes += weight;
        self.bytes += weight;
        if number + 1 == count {
            let whole = self.forget(at);
            return Ok(whole.map(|whole| {
                whole.parts.iter().fold(BytesMut::with_capacity(whole.bytes), extend).freeze()
            }));
        }
        if self.bytes > self.max_bytes {
            self.forget(0);
            return Err(LostPart::TooMuch(self.max_bytes));
        }
        Ok(None)
    }

    fn forget(&mut self, at: usize) -> Option<Partial> {
        let gone = self.partial.remove(at)?;
        self.bytes = self.bytes.saturating_sub(gone.bytes);
        Some(gone)
    }
}

fn extend(mut whole: BytesMut, part: &Bytes) -> BytesMut {
    whole.extend_from_slice(part);
    whole
}

fn parse(header: &str) -> Option<(&str, usize, usize)> {
    let mut words = header.split(' ');
    let (id, number, count) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let is_one = words.next().is_none() && (1..=LONGEST_ID).contains(&id.len()) && number < count;
    is_one.then_some((id, number, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(letter: u8, len: usize) -> (Bytes, Vec<(HeaderMap, Bytes)>) {
        let payload = Bytes::from(vec![letter; len]);
        let id = String::from_utf8(vec![letter]).unwrap();
        (payload.clone(), split(&payload, 1024, &id).unwrap())
    }

    #[test]
    fn what_fits_is_not_parted() {
        assert!(split(&Bytes::from(vec![0; 1024]), 1024, "id").is_none());
        assert!(split(&Bytes::from(vec![0; 1024]), 300, "id").is_none(), "no room beside the header");
        let (_, two) = parts(b'a', 1025);
        assert!(two.iter().all(|(_, part)| part.len() <= 1024 - OVERHEAD) && two.len() == 2);
        let plain = Parts::new(0).take(None, Bytes::from_static(b"x")).unwrap();
        assert_eq!(plain, Some(Bytes::from_static(b"x")));
    }

    #[test]
    fn the_parts_of_two_publishers_may_be_mixed() {
        let ((ada, of_ada), (bob, of_bob)) = (parts(b'a', 5000), parts(b'b', 5000));
        let mut whole = Vec::new();
        let mut open = Parts::new(100_000);
        for (one, other) in of_ada.into_iter().zip(of_bob) {
            for (headers, part) in [one, other] {
                whole.extend(open.take(Some(&headers), part).unwrap());
            }
        }
        assert_eq!(whole, [ada, bob]);
        assert_eq!((open.bytes, open.partial.len()), (0, 0));
    }

    #[test]
    fn parts_that_do_not_follow_each_other_are_dropped() {
        let (_, of_ada) = parts(b'a', 5000);
        let mut open = Parts::new(100_000);
        let mut take = |at: usize| open.take(Some(&of_ada[at].0), of_ada[at].1.clone());
        assert_eq!(take(1), Err(LostPart::Order));
        assert_eq!(take(0), Ok(None));
        assert_eq!(take(2), Err(LostPart::Order));
        assert_eq!(take(1), Err(LostPart::Order), "it is forgotten");
        assert_eq!(take(0), Ok(None));
        assert_eq!(take(0), Err(LostPart::Order), "twice");
        let mut odd = HeaderMap::new();
        for header in ["", "id", "id 0", "id 1 1", "id 0 1 x", "id -1 2", " 0 1"] {
            odd.insert(PART, header);
            assert_eq!(open.take(Some(&odd), Bytes::new()), Err(LostPart::Header), "{header}");
        }
        assert_eq!((open.bytes, open.partial.len()), (0, 0));
    }

    #[test]
    fn what_is_left_unfinished_is_bounded() {
        let mut open = Parts::new(5000);
        for letter in b'a'..=b'z' {
            let (_, of_one) = parts(letter, 2000);
            let taken = open.take(Some(&of_one[0].0), of_one[0].1.clone());
            assert!(matches!(taken, Ok(None) | Err(LostPart::TooMuch(5000))), "{taken:?}");
            assert!(open.bytes <= 5000 && open.partial.len() <= 6);
        }
    }
}
