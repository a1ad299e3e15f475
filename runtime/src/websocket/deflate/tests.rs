//! The extension against the examples of RFC 7692, against its rules, against hostile senders, and against flate2.

use super::connection::Deflate;
use super::inflate::Inflating;
use super::offer::{Agreed, Direction};
use super::shared::SharedDeflate;
use super::*;
use crate::websocket::write::write_message;
use crate::websocket::{Incoming, ReadError, Reader, Role, write_ping};
use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sansocket_protocol::message::WireMessage;
use std::sync::Arc;

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);
const MAX: usize = 2000;
const TEXT: bool = true;

fn direction(window_bits: u8, takeover: bool) -> Direction {
    Direction { window_bits, takeover }
}

/// A server's end that reads.
struct Reading {
    reader: Reader,
    inflating: Inflating,
    seen: Vec<Incoming>,
}

impl Reading {
    fn new(client: Direction, max: usize) -> Self {
        let reader = Reader::new(Role::Server, max);
        Self { reader, inflating: Inflating::new(client), seen: Vec::new() }
    }

    /// Feeds all of the input, in as many batches as the reader wants.
    fn feed(&mut self, input: &[u8]) -> Result<(), ReadError> {
        let mut rest = input.to_vec();
        loop {
            let seen = &mut self.seen;
            let left =
                self.reader.feed_with(Some(&mut self.inflating), &mut rest, &mut |item| seen.push(item))?;
            if left == 0 {
                return Ok(());
            }
            rest = rest.split_off(rest.len() - left);
        }
    }
}

/// Reads a stream whole and byte by byte, which must be the same.
fn read(client: Direction, max: usize, stream: &[u8]) -> (Vec<Incoming>, Result<(), ReadError>) {
    let mut whole = Reading::new(client, max);
    let result = whole.feed(stream);
    let mut bytewise = Reading::new(client, max);
    let mut bytewise_result = Ok(());
    for byte in stream.chunks(1) {
        bytewise_result = bytewise.feed(byte);
    }
    let judged = |seen: &[Incoming], result| {
        // A text that comes whole is the core's to judge, one that comes in parts is judged before.
        let is_bad =
            |item: &Incoming| matches!(item, Incoming::Text(text) if std::str::from_utf8(text).is_err());
        match (seen.iter().position(is_bad), result) {
            (Some(at), _) => (seen[..at].to_vec(), Err(ReadError::NotUtf8)),
            // Bad data at once, or after too much has come out: that depends on how much is looked at together.
            (None, Err(ReadError::TooLarge)) => (seen.to_vec(), Err(ReadError::BadCompression)),
            (None, other) => (seen.to_vec(), other),
        }
    };
    assert_eq!(
        judged(&whole.seen, result),
        judged(&bytewise.seen, bytewise_result),
        "whole and byte by byte"
    );
    (whole.seen, result)
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, TEXT, false, MASK, payload);
    out[0] = first;
    out
}

fn compressed(payload: &[u8]) -> Vec<u8> {
    frame(0xc1, payload)
}

fn text(text: &str) -> Incoming {
    Incoming::Text(Bytes::copy_from_slice(text.as_bytes()))
}

/// An endless compressor of another make, at the end of whose messages the four bytes are cut off.
struct Oracle(Compress);

impl Oracle {
    fn new() -> Self {
        Self(Compress::new(Compression::new(6), false))
    }

    fn message(&mut self, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() * 2 + 100);
        let status = self.0.compress_vec(message, &mut out, FlushCompress::Sync);
        assert!(status.is_ok() && out.len() < out.capacity());
        assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "{out:x?}");
        out.truncate(out.len() - 4);
        out
    }
}

/// An endless decompressor of another make.
fn oracle_inflate(inflater: &mut Decompress, message: &[u8], max: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(max + 100);
    let whole = [message, &[0, 0, 0xff, 0xff]].concat();
    let before = inflater.total_in();
    inflater.decompress_vec(&whole, &mut out, FlushDecompress::Sync).expect("a message of ours");
    assert_eq!(inflater.total_in() - before, whole.len() as u64);
    out
}

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

#[test]
fn the_examples_of_the_rfc_are_read() {
    let takeover = direction(15, true);
    let twice = |one: &[u8], two: &[u8]| [compressed(one), compressed(two)].concat();
    // 7.2.3.1, in one frame and in two.
    assert_eq!(read(takeover, MAX, &compressed(&HELLO)), (vec![text("Hello")], Ok(())));
    let fragments = [frame(0x41, &HELLO[..3]), frame(0x80, &HELLO[3..])].concat();
    assert_eq!(read(takeover, MAX, &fragments), (vec![text("Hello")], Ok(())));
    // 7.2.3.2: the same message again, by its own words and by reference to the first one.
    let hellos = vec![text("Hello"), text("Hello")];
    assert_eq!(read(takeover, MAX, &twice(&HELLO, &HELLO)), (hellos.clone(), Ok(())));
    let by_reference = [0xf2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(read(takeover, MAX, &twice(&HELLO, &by_reference)), (hellos, Ok(())));
    // Without takeover there is nothing to refer to.
    let alone = read(direction(15, false), MAX, &twice(&HELLO, &by_reference));
    assert_eq!(alone, (vec![text("Hello")], Err(ReadError::BadCompression)));
    for payload in [
        // 7.2.3.3: a block without compression.
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00][..],
        // 7.2.3.4: a last block, and the empty one behind it. Then without that, as zlib takes it.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        // 7.2.3.5: two blocks.
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ] {
        for takeover in [false, true] {
            let seen = read(direction(15, takeover), MAX, &twice(payload, payload));
            assert_eq!(seen, (vec![text("Hello"), text("Hello")], Ok(())), "{payload:x?}");
        }
    }
    // 7.2.3.6: nothing. zlib, and so the reference, also takes no byte at all for that.
    assert_eq!(read(takeover, MAX, &twice(&[0], &[])), (vec![text(""), text("")], Ok(())));
    let spread = [frame(0x41, &[]), frame(0x00, &[]), frame(0x80, &[0])].concat();
    assert_eq!(read(takeover, MAX, &spread), (vec![text("")], Ok(())));
}

#[test]
fn what_follows_a_last_block_may_refer_to_what_came_before() {
    let mut oracle = Oracle::new();
    let (first, second) = ("a message of some length", "a message of some length again");
    let stream = [compressed(&oracle.message(first.as_bytes())), {
        // An empty last block in front of a message that refers to the one before.
        compressed(&[&[0x03, 0x00][..], &oracle.message(second.as_bytes())].concat())
    }]
    .concat();
    assert_eq!(read(direction(15, true), MAX, &stream), (vec![text(first), text(second)], Ok(())));
}

#[test]
fn control_frames_pass_between_compressed_fragments() {
    let mut ping = Vec::new();
    write_ping(&mut ping, MASK, b"beat");
    let stream =
        [frame(0x42, &HELLO[..1]), ping, frame(0x00, &[]), frame(0x80, &HELLO[1..]), frame(0x81, b"plain")];
    let expected = vec![Incoming::Ping("beat".into()), Incoming::Binary("Hello".into()), text("plain")];
    assert_eq!(read(direction(15, false), MAX, &stream.concat()), (expected, Ok(())));
}

#[test]
fn the_first_reserved_bit_begins_a_message_and_nothing_else() {
    let wrong: [&[u8]; 8] = [
        &frame(0xa1, b"x"),
        &frame(0x91, b"x"),
        &frame(0xe1, &HELLO),
        &frame(0xc8, b""),
        &frame(0xc9, b""),
        &frame(0xca, b""),
        &[frame(0x41, &HELLO[..3]), frame(0xc0, &HELLO[3..])].concat(),
        &[frame(0x01, b"plain"), frame(0x40, b"")].concat(),
    ];
    for stream in wrong {
        let (_, result) = read(direction(15, true), MAX, stream);
        assert_eq!(result, Err(ReadError::ReservedBits), "{:x}", stream[0]);
        assert_eq!(ReadError::ReservedBits.close_code(), 1002);
    }
}

#[test]
fn what_cannot_be_decompressed_ends_the_connection() {
    let mut final_blocks = [0x03, 0x00].repeat(2000);
    final_blocks.push(0);
    for payload in [
        &b"\xff\xff\xff"[..],
        // Cut short, by a byte and in the middle of a block.
        &HELLO[..6],
        &HELLO[..3],
        // The four bytes are there, though they should not be, and one more.
        &[0x00, 0x05],
        &final_blocks,
    ] {
        for takeover in [false, true] {
            let (seen, result) = read(direction(15, takeover), MAX * 10, &compressed(payload));
            assert_eq!((seen, result), (vec![], Err(ReadError::BadCompression)), "{payload:x?}");
        }
    }
    assert_eq!(ReadError::BadCompression.close_code(), 1007);
}

#[test]
fn a_bomb_ends_at_the_largest_message() {
    let bomb = |bytes: usize| Oracle::new().message(&vec![b'x'; bytes]);
    let (seen, result) = read(direction(15, false), MAX, &compressed(&bomb(MAX)));
    assert_eq!((seen.len(), result), (1, Ok(())));
    for bytes in [MAX + 1, 10_000_000] {
        let payload = bomb(bytes);
        assert!(payload.len() < 20_000);
        let mut reading = Reading::new(direction(15, true), MAX);
        assert_eq!(reading.feed(&compressed(&payload)), Err(ReadError::TooLarge));
        // In fragments, none of which has much of it.
        let mut reading = Reading::new(direction(15, true), MAX);
        let mut result = reading.feed(&frame(0x41, &[]));
        for byte in &payload {
            if result.is_ok() {
                result = reading.feed(&frame(0x00, &[*byte]));
            }
        }
        let result = result.and_then(|()| reading.feed(&frame(0x80, &[])));
        assert_eq!(result, Err(ReadError::TooLarge));
        assert_eq!(reading.seen, []);
    }
    assert_eq!(ReadError::TooLarge.close_code(), 1009);
}

#[test]
fn an_unfinished_message_has_no_inflater_before_it_has_sent_a_part_of_that() {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let random: Vec<u8> = (0..60_000).map(|_| noise()).collect();
    let payload = Oracle::new().message(&random);
    // A byte, and then pieces that go beyond what is held.
    for piece in [1, 1000, 16_384, 30_000, payload.len()] {
        let mut reading = Reading::new(direction(15, true), 100_000);
        reading.feed(&frame(0x42, &[])).expect("legal");
        let mut arrived = 0;
        for chunk in payload.chunks(piece) {
            reading.feed(&frame(0x00, chunk)).expect("legal");
            arrived += chunk.len();
            assert_eq!(reading.inflating.has_inflater(), arrived > 16_384, "{arrived} bytes by {piece}");
        }
        reading.feed(&frame(0x80, &[])).expect("legal");
        assert!(!reading.inflating.has_inflater());
        assert_eq!(reading.seen, [Incoming::Binary(random.clone().into())]);
    }
}

#[test]
fn input_of_which_nothing_comes_out_is_bounded_too() {
    let mut empty_blocks = [0, 0, 0, 0xff, 0xff].repeat(MAX);
    empty_blocks.push(0);
    let (seen, result) = read(direction(15, false), MAX, &compressed(&empty_blocks));
    assert_eq!((seen, result), (vec![], Err(ReadError::TooLarge)));
}

#[test]
fn a_message_that_grows_when_it_is_compressed_is_not_too_large() {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let random: Vec<u8> = (0..MAX).map(|_| noise()).collect();
    let mut compressor = Oracle::new();
    let stored = compressor.message(&random);
    assert!(stored.len() > MAX, "{}", stored.len());
    let (seen, result) = read(direction(15, true), MAX, &frame(0xc2, &stored));
    assert_eq!((seen, result), (vec![Incoming::Binary(random.into())], Ok(())));
}

#[test]
fn a_batch_of_bombs_is_dealt_with_one_after_the_other() {
    let max = 1_000_000;
    let bomb = Oracle::new().message(&vec![0; max]);
    let mut input = compressed(&bomb).repeat(20);
    let mut reader = Reader::new(Role::Server, max);
    let mut inflating = Inflating::new(direction(15, false));
    let mut batches = 0;
    while !input.is_empty() {
        let mut seen = 0;
        let fed = reader.feed_with(Some(&mut inflating), &mut input, &mut |_| seen += 1);
        let left = fed.expect("legal messages");
        assert_eq!(seen, 1, "each is more than one batch may have");
        input.drain(..input.len() - left);
        batches += 1;
    }
    assert_eq!(batches, 20);
}

#[test]
fn a_message_holds_on_to_no_more_than_twice_its_length() {
    for bytes in [1, 100, 5_000, 40_000, 300_000] {
        let mut reading = Reading::new(direction(15, false), 1_000_000);
        reading.feed(&compressed(&Oracle::new().message(&vec![7; bytes]))).expect("legal");
        let Some(Incoming::Text(data)) = reading.seen.pop() else { panic!("a text") };
        let capacity = data.try_into_mut().expect("not shared").capacity();
        assert!(capacity <= 2 * bytes, "{capacity} for {bytes}");
    }
}

// --- writing --------------------------------------------------------------------------------------------------

fn settings() -> PerMessageDeflate {
    PerMessageDeflate::default().threshold(0)
}

/// A server's end that writes.
fn writing(shared: &Arc<SharedDeflate>, server: Direction) -> Box<Deflate> {
    Deflate::new(Role::Server, shared.clone(), Agreed { server, client: direction(15, false) })
}

fn written(deflate: &mut Deflate, message: impl Into<Bytes>, compress: bool) -> Vec<u8> {
    deflate.write(WireMessage::Text(message.into()), compress, None);
    let mut out = Vec::new();
    deflate.flush(&mut out);
    out
}

const LONG: &str = "a text that repeats itself, a text that repeats itself, a text that repeats itself";

#[test]
fn a_text_is_compressed_unless_a_setting_or_the_message_says_no() {
    let is_compressed = |settings: PerMessageDeflate, server, message: &'static str, compress| {
        let shared = SharedDeflate::new(settings);
        let out = written(&mut writing(&shared, server), message, compress);
        assert!(out[0] & 0x40 != 0 || out[2..] == *message.as_bytes());
        out[0] & 0x40 != 0
    };
    let plain = direction(15, false);
    assert!(is_compressed(settings(), plain, LONG, true));
    assert!(!is_compressed(settings(), plain, LONG, false));
    assert!(is_compressed(settings().threshold(LONG.len()), plain, LONG, true));
    assert!(!is_compressed(settings().threshold(LONG.len() + 1), plain, LONG, true));
    // It would be no smaller. With takeover it is part of what later ones refer to.
    assert!(!is_compressed(settings(), plain, "short", true));
    assert!(is_compressed(settings(), direction(15, true), "short", true));
    assert!(!is_compressed(settings(), direction(15, true), "", true));
    // A window that zlib has not.
    assert!(!is_compressed(settings(), direction(8, true), LONG, true));
}

#[test]
fn messages_refer_to_earlier_ones_only_with_takeover() {
    let shared = SharedDeflate::new(settings());
    for takeover in [false, true] {
        let mut deflate = writing(&shared, direction(15, takeover));
        let first = written(&mut deflate, LONG, true);
        // One that is not compressed is not part of it.
        let between = written(&mut deflate, "something else altogether", false);
        let again = written(&mut deflate, LONG, true);
        assert_eq!(between[0], 0x81);
        assert_eq!(first == again, !takeover);
        assert!(!takeover || again.len() < 10, "{again:x?}");
    }
}

#[test]
fn messages_keep_their_order_whether_compressed_or_not() {
    let shared = SharedDeflate::new(settings());
    let mut deflate = writing(&shared, direction(15, false));
    deflate.write(WireMessage::Text(LONG.into()), true, MASK);
    deflate.write(WireMessage::Binary(LONG.into()), false, MASK);
    deflate.write(WireMessage::Binary(LONG.into()), true, MASK);
    let mut out = Vec::new();
    deflate.flush(&mut out);
    let (seen, result) = read(direction(15, false), MAX, &out);
    let expected = vec![text(LONG), Incoming::Binary(LONG.into()), Incoming::Binary(LONG.into())];
    assert_eq!((seen, result), (expected, Ok(())));
}

#[test]
fn a_broadcast_is_compressed_once_for_all_that_agree() {
    let shared = SharedDeflate::new(settings());
    let server = direction(12, false);
    let mut ends: Vec<_> = (0..3).map(|_| writing(&shared, server)).collect();
    let broadcast = Bytes::from(LONG.to_owned());
    let other_window = writing(&shared, direction(10, false));
    ends.push(other_window);
    for end in &mut ends {
        end.write(WireMessage::Text(broadcast.clone()), true, None);
    }
    drop(broadcast);
    let mut outs = vec![];
    for (at, end) in ends.iter_mut().enumerate() {
        let mut out = Vec::new();
        end.flush(&mut out);
        outs.push(out);
        // Nothing once all have sent it.
        assert_eq!(shared.remembered(), [1, 1, 1, 0][at], "after {at}");
    }
    assert!(outs[0] == outs[1] && outs[1] == outs[2]);
    let mut inflater = Decompress::new(false);
    for out in &outs {
        assert_eq!(out[0], 0xc1);
        assert_eq!(oracle_inflate(&mut inflater, &out[2..], MAX), LONG.as_bytes());
        inflater.reset(false);
    }
}

#[test]
fn a_message_for_one_is_not_remembered() {
    let shared = SharedDeflate::new(settings());
    let mut end = writing(&shared, direction(15, false));
    assert_eq!(written(&mut end, Bytes::from(LONG.to_owned()), true)[0], 0xc1);
    assert_eq!(shared.remembered(), 0);
}

#[test]
fn broadcasts_that_nobody_comes_to_send_are_forgotten() {
    let shared = SharedDeflate::new(settings());
    let mut kept = Vec::new();
    for n in 0..100 {
        let broadcast = Bytes::from(format!("{LONG} {n}"));
        let mut end = writing(&shared, direction(15, false));
        assert_eq!(written(&mut end, broadcast.clone(), true)[0], 0xc1);
        kept.push(broadcast);
    }
    assert_eq!(shared.remembered(), 32);
    let large = Bytes::from(LONG.repeat(300_000));
    let mut end = writing(&shared, direction(15, false));
    assert_eq!(written(&mut end, large.clone(), true)[0], 0xc1);
    assert_eq!(shared.remembered(), 1);
    drop((kept, large));
    written(&mut end, Bytes::from_static(LONG.as_bytes()), true);
    // A static text is never anybody's alone, and is remembered until others come.
    assert_eq!(shared.remembered(), 1);
}

#[test]
fn settings_out_of_their_range_are_refused() {
    let words = |settings: PerMessageDeflate| settings.check().map_err(|error| error.to_string());
    assert_eq!(words(PerMessageDeflate::default()), Ok(()));
    assert_eq!(
        words(settings().server_window_bits(8)),
        Err("`server_window_bits` of permessage-deflate is 8: it goes from 9 to 15".into())
    );
    for wrong in [
        settings().client_window_bits(16),
        settings().level(10),
        settings().memory_level(0),
        settings().memory_level(10),
    ] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
}

#[test]
fn the_extension_is_small() {
    // On connections that have it. Others have one pointer.
    assert!(size_of::<Deflate>() <= 112, "{}", size_of::<Deflate>());
    assert_eq!(size_of::<Option<Box<Deflate>>>(), size_of::<usize>());
}

// --- both, against flate2 ---------------------------------------------------------------------------------------

/// Messages between noise and repetition, of which later ones repeat parts of earlier ones.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..3000usize).prop_map(|(byte, times)| vec![byte; times]),
        (0..20usize).prop_map(|times| LONG.as_bytes().repeat(times)),
    ];
    let message = prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat());
    prop::collection::vec(message, 1..8)
}

#[test]
fn ours_reads_what_another_compressor_writes() {
    let story = (messages(), any::<bool>(), 1..400usize, 1..400usize);
    let play = |(messages, takeover, fragment, chunk): (Vec<Vec<u8>>, bool, usize, usize)| {
        let mut oracle = Oracle::new();
        let mut stream = Vec::new();
        for message in &messages {
            let payload = oracle.message(message);
            let pieces: Vec<&[u8]> = payload.chunks(fragment).collect();
            for (at, piece) in pieces.iter().enumerate() {
                let opcode = if at == 0 { 0x42 } else { 0x00 };
                let fin = if at + 1 == pieces.len() { 0x80 } else { 0x00 };
                stream.extend(frame(opcode | fin, piece));
            }
            if !takeover {
                oracle.0.reset();
            }
        }
        let mut reading = Reading::new(direction(15, takeover), 20_000);
        for chunk in stream.chunks(chunk) {
            prop_assert_eq!(reading.feed(chunk), Ok(()));
        }
        let expected: Vec<Incoming> =
            messages.into_iter().map(|data| Incoming::Binary(data.into())).collect();
        prop_assert!(reading.seen == expected && reading.reader.is_idle());
        Ok(())
    };
    TestRunner::deterministic().run(&story, play).unwrap();
}

#[test]
fn another_decompressor_and_ours_read_what_ours_writes() {
    let story = (messages(), any::<bool>(), 9..=15u8, 0..=9u8, 1..=9u8);
    let play = |(messages, takeover, window_bits, level, memory): (Vec<Vec<u8>>, bool, u8, u8, u8)| {
        let shared = SharedDeflate::new(settings().level(level).memory_level(memory));
        let client = direction(window_bits, takeover);
        let agreed = Agreed { server: direction(15, false), client };
        let mut deflate = Deflate::new(Role::Client, shared, agreed);
        let mut inflater = Decompress::new(false);
        let mut reading = Reading::new(client, 20_000);
        for message in &messages {
            deflate.write(WireMessage::Binary(message.clone().into()), true, MASK);
            let mut out = Vec::new();
            deflate.flush(&mut out);
            prop_assert_eq!(reading.feed(&out), Ok(()));
            let Some(Incoming::Binary(data)) = reading.seen.pop() else { panic!("a message") };
            prop_assert!(data == *message);
            // The same by another reader: the frame's payload is behind its header, and masked.
            if out[0] & 0x40 != 0 {
                let mut plain = Reader::new(Role::Server, 100_000);
                let mut payload = Bytes::new();
                out[0] &= !0x40;
                let fed = plain.feed(&mut out, &mut |item| match item {
                    Incoming::Binary(data) => payload = data,
                    other => panic!("{other:?}"),
                });
                prop_assert_eq!(fed, Ok(()));
                prop_assert!(oracle_inflate(&mut inflater, &payload, 20_000) == *message);
            }
            if !takeover {
                inflater.reset(false);
            }
        }
        Ok(())
    };
    TestRunner::deterministic().run(&story, play).unwrap();
}

/// Bytes of compressed messages in frames, some of them changed, and bytes that are anything.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        messages().prop_map(|messages| {
            let mut oracle = Oracle::new();
            messages.iter().flat_map(|message| oracle.message(message)).collect()
        }),
    ];
    let first = prop_oneof![Just(0xc1), Just(0x42), Just(0x80), Just(0x00), Just(0xc2), any::<u8>()];
    let one = (first, payload, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3));
    let frame = one.prop_map(|(first, mut payload, changes)| {
        for (at, byte) in changes {
            if !payload.is_empty() {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
        }
        frame(first, &payload)
    });
    prop::collection::vec(frame, 1..8).prop_map(|frames| frames.concat())
}

#[test]
fn hostile_bytes_neither_panic_nor_bring_more_than_is_allowed() {
    let play = |(stream, takeover, bits): (Vec<u8>, bool, u8)| {
        // Whole and byte by byte, which `read` compares.
        let (seen, _) = read(direction(bits, takeover), MAX, &stream);
        for item in seen {
            if let Incoming::Text(data) | Incoming::Binary(data) = item {
                prop_assert!(data.len() <= MAX);
            }
        }
        Ok(())
    };
    TestRunner::deterministic().run(&(hostile(), any::<bool>(), 8..=15u8), play).unwrap();
}
