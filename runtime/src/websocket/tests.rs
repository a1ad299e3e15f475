//! The reader and the writers against each other, against the rules of RFC 6455, and against tungstenite.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::io::{self, Read, Write};
use tungstenite::Message;
use tungstenite::protocol::{Role as OracleRole, WebSocketConfig, WebSocketContext};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const MAX: usize = 2000;

/// One frame with any header whatever.
fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_binary(&mut out, mask, payload);
    out[0] = first;
    out
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, Some(MASK), payload)
}

type Outcome = (Vec<Incoming>, Result<(), ReadError>, bool);

fn read_chunks<'a>(role: Role, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = Reader::new(role, MAX);
    let mut seen = Vec::new();
    let mut result = Ok(());
    for chunk in chunks {
        result = reader.feed(&mut chunk.to_vec(), &mut |item| seen.push(item));
    }
    judged((seen, result, reader.is_idle()))
}

/// The same as it does not depend on the chunks: a text that comes whole is the core's to judge, one that comes in parts
/// is judged before.
fn judged((mut seen, result, idle): Outcome) -> Outcome {
    let is_bad = |item: &Incoming| matches!(item, Incoming::Text(text) if std::str::from_utf8(text).is_err());
    match seen.iter().position(is_bad) {
        Some(at) => {
            seen.truncate(at);
            (seen, Err(ReadError::NotUtf8), true)
        }
        None => (seen, result, idle),
    }
}

fn read(role: Role, stream: &[u8]) -> Outcome {
    let whole = read_chunks(role, [stream]);
    assert_eq!(whole, read_chunks(role, stream.chunks(1)), "whole and byte by byte");
    whole
}

fn refused(stream: &[u8]) -> ReadError {
    read(Role::Server, stream).1.unwrap_err()
}

fn owned(item: Incoming) -> usize {
    match item {
        Incoming::Text(data) | Incoming::Binary(data) | Incoming::Ping(data) => {
            data.try_into_mut().expect("not shared").capacity()
        }
        Incoming::Pong | Incoming::Close(_) => 0,
    }
}

#[test]
fn a_reader_is_small() {
    assert!(size_of::<Reader>() <= 32, "{}", size_of::<Reader>());
}

#[test]
fn every_length_of_header_is_read_back() {
    for mask in [None, Some(MASK)] {
        let role = if mask.is_some() { Role::Server } else { Role::Client };
        for len in [0, 1, 7, 125, 126, 127, 65_535, 65_536, 70_001] {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut out = Vec::new();
            write_binary(&mut out, mask, &payload);
            let mut reader = Reader::new(role, 100_000);
            let mut seen = Vec::new();
            reader.feed(&mut out, &mut |item| seen.push(item)).unwrap();
            assert_eq!(seen, [Incoming::Binary(payload.into())]);
        }
    }
}

#[test]
fn fragments_are_joined_and_control_frames_pass_between_them() {
    let stream = [
        masked(0x01, b"hel"),
        masked(0x89, b"beat"),
        masked(0x00, b""),
        masked(0x8a, b""),
        masked(0x80, b"lo"),
        masked(0x82, b"next"),
    ]
    .concat();
    let (seen, result, idle) = read(Role::Server, &stream);
    result.unwrap();
    assert!(idle);
    assert_eq!(
        seen,
        [
            Incoming::Ping("beat".into()),
            Incoming::Pong,
            Incoming::Text("hello".into()),
            Incoming::Binary("next".into())
        ]
    );
}

#[test]
fn a_text_that_comes_whole_is_handed_on_unvalidated() {
    let mut seen = Vec::new();
    let result = Reader::new(Role::Server, MAX).feed(&mut masked(0x81, b"\xff"), &mut |item| seen.push(item));
    assert_eq!((seen, result), (vec![Incoming::Text(Bytes::from_static(b"\xff"))], Ok(())));
}

#[test]
fn a_text_in_parts_ends_the_connection_as_soon_as_it_cannot_become_utf8() {
    let feed = |chunks: &[&[u8]]| {
        let mut reader = Reader::new(Role::Server, MAX);
        let mut fed = 0;
        let result = chunks.iter().try_for_each(|chunk| {
            fed += 1;
            reader.feed(&mut chunk.to_vec(), &mut |item| panic!("{item:?}"))
        });
        (fed, result)
    };
    // In fragments, with a character that goes on in the next one; and in one frame that arrives in parts.
    let fragments = ["ab\u{20ac}".as_bytes(), b"\xe2\x82", b"\xac.\xff", b"never read"];
    let frames =
        [0x01, 0x00, 0x00, 0x80].iter().zip(fragments).map(|(first, payload)| masked(*first, payload));
    let frames: Vec<Vec<u8>> = frames.collect();
    let chunks: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
    assert_eq!(feed(&chunks), (3, Err(ReadError::NotUtf8)));
    let frame = masked(0x81, b"\xe2\x82\xacab\xc0\x80 and more");
    assert_eq!(
        feed(&[&frame[..8], &frame[8..11], &frame[11..12], &frame[12..]]),
        (3, Err(ReadError::NotUtf8))
    );
    assert_eq!(ReadError::NotUtf8.close_code(), 1007);
    // Bytes are bytes.
    assert_eq!(feed(&[&masked(0x02, b"\xff")]), (1, Ok(())));
}

#[test]
fn breaches_of_the_protocol_close_with_1002() {
    use ReadError::*;
    let long = [0; 126];
    let cases = [
        (masked(0xc1, b"x"), ReservedBits),
        (masked(0xa1, b"x"), ReservedBits),
        (masked(0x91, b"x"), ReservedBits),
        (masked(0x83, b"x"), ReservedOpcode),
        (masked(0x87, b"x"), ReservedOpcode),
        (masked(0x8b, b"x"), ReservedOpcode),
        (masked(0x8f, b"x"), ReservedOpcode),
        (frame(0x81, None, b"x"), Unmasked),
        (masked(0x09, b"x"), FragmentedControl),
        (masked(0x08, b""), FragmentedControl),
        (masked(0x89, &long), LongControl),
        (masked(0x88, &long), LongControl),
        (masked(0x80, b"x"), NothingToContinue),
        (masked(0x00, b"x"), NothingToContinue),
        ([masked(0x01, b"x"), masked(0x81, b"y")].concat(), UnfinishedMessage),
        ([masked(0x02, b""), masked(0x02, b"")].concat(), UnfinishedMessage),
        (masked(0x88, b"\x03"), BadCloseCode),
    ];
    for (stream, error) in cases {
        assert_eq!(refused(&stream), error);
        assert_eq!(error.close_code(), 1002);
    }
    assert_eq!(read(Role::Client, &masked(0x81, b"x")).1, Err(Masked));
    assert_eq!(Masked.close_code(), 1002);
}

#[test]
fn close_codes_are_checked() {
    for code in [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999] {
        let mut stream = Vec::new();
        write_close(&mut stream, Some(MASK), Some(code), "bye");
        assert_eq!(read(Role::Server, &stream).0, [Incoming::Close(Some(code))]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        let mut stream = Vec::new();
        write_close(&mut stream, Some(MASK), Some(code), "bye");
        assert_eq!(refused(&stream), ReadError::BadCloseCode);
    }
    assert_eq!(read(Role::Server, &masked(0x88, b"")).0, [Incoming::Close(None)]);
    let error = refused(&masked(0x88, b"\x03\xe8\xff"));
    assert_eq!((error, error.close_code()), (ReadError::BadCloseReason, 1007));
}

#[test]
fn a_message_too_large_is_refused_at_its_header() {
    let mut stream = masked(0x82, &[0; MAX + 1]);
    stream.truncate(8);
    assert_eq!(refused(&stream), ReadError::TooLarge);
    assert_eq!(ReadError::TooLarge.close_code(), 1009);

    let sum = [masked(0x02, &[0; MAX]), masked(0x00, b""), masked(0x80, b"x")].concat();
    assert_eq!(refused(&sum), ReadError::TooLarge);
    assert!(
        refused(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4])
            == ReadError::TooLarge
    );
    assert!(read(Role::Server, &masked(0x82, &[0; MAX])).1.is_ok());
}

#[test]
fn a_flood_of_empty_fragments_ends() {
    let mut reader = Reader::new(Role::Server, MAX);
    reader.feed(&mut masked(0x01, b""), &mut |_| {}).unwrap();
    for _ in 0..MAX_EMPTY_FRAGMENTS {
        reader.feed(&mut masked(0x00, b""), &mut |_| {}).unwrap();
    }
    let error = reader.feed(&mut masked(0x80, b""), &mut |_| unreachable!()).unwrap_err();
    assert_eq!((error, error.close_code()), (ReadError::TooManyFragments, 1008));
}

#[test]
fn fragments_that_carry_something_are_as_many_as_the_message_may_have_bytes() {
    let max = 3 * MAX_EMPTY_FRAGMENTS as usize;
    let mut reader = Reader::new(Role::Server, max);
    let mut seen = Vec::new();
    reader.feed(&mut masked(0x02, b"x"), &mut |item| seen.push(item)).unwrap();
    for _ in 2..max {
        reader.feed(&mut masked(0x00, b"x"), &mut |item| seen.push(item)).unwrap();
    }
    reader.feed(&mut masked(0x80, b"x"), &mut |item| seen.push(item)).unwrap();
    assert_eq!(seen, [Incoming::Binary(vec![b'x'; max].into())]);
    let mut wrong = [masked(0x02, b"x"), masked(0x00, b"x").repeat(max)].concat();
    assert_eq!(reader.feed(&mut wrong, &mut |_| unreachable!()), Err(ReadError::TooLarge));
}

#[test]
fn nothing_is_delivered_after_a_close_or_an_error() {
    let text = masked(0x81, b"x");
    let closed = [text.clone(), masked(0x88, b""), text.clone(), b"\xff\xff\xff".to_vec()].concat();
    let (seen, result, idle) = read(Role::Server, &closed);
    assert_eq!(seen, [Incoming::Text("x".into()), Incoming::Close(None)]);
    assert!(result.is_ok() && idle);

    let broken = [text.clone(), masked(0x83, b""), text].concat();
    let (seen, result, idle) = read(Role::Server, &broken);
    assert_eq!(seen, [Incoming::Text("x".into())]);
    assert_eq!(result, Err(ReadError::ReservedOpcode));
    assert!(idle);
}

#[test]
fn a_large_message_leaves_nothing_behind() {
    const MB: usize = 1 << 20;
    for chunk in [100, 4096, 65_536, 2 * MB] {
        let mut reader = Reader::new(Role::Server, MB);
        let mut stream = masked(0x82, &vec![7; MB]);
        let mut seen = Vec::new();
        for part in stream.chunks_mut(chunk) {
            assert!(seen.is_empty());
            reader.feed(part, &mut |item| seen.push(item)).unwrap();
        }
        assert!(reader.is_idle());
        assert_eq!(seen.len(), 1);
        assert_eq!(owned(seen.remove(0)), MB);
    }
}

#[test]
fn a_delivered_message_owns_at_most_twice_its_length() {
    let mut stream = masked(0x01, b"x");
    for _ in 0..700 {
        stream.extend(masked(0x00, b"yz"));
    }
    stream.extend(masked(0x80, b"0123456789"));
    let (mut seen, _, _) = read_chunks(Role::Server, stream.chunks(13));
    assert!(owned(seen.remove(0)) <= 2 * 1411);
}

#[test]
fn an_announced_length_reserves_nothing() {
    let mut reader = Reader::new(Role::Server, usize::MAX);
    let mut start = [0x82, 0xff, 0, 0, 0xff, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5];
    reader.feed(&mut start, &mut |_| {}).unwrap();
    assert!(!reader.is_idle());
    // 280 TB would have been announced: that we are here is the test.
}

#[test]
fn control_frames_are_cut_to_what_they_may_carry() {
    let mut out = Vec::new();
    write_ping(&mut out, None, &[1; 200]);
    write_pong(&mut out, None, &[1; 200]);
    write_close(&mut out, None, Some(1000), &"ä".repeat(100));
    write_close(&mut out, None, None, "not sent");
    let (seen, result, _) = read(Role::Client, &out);
    result.unwrap();
    assert_eq!(seen, [Incoming::Ping(vec![1; 125].into()), Incoming::Pong, Incoming::Close(Some(1000))]);
    assert!(out.ends_with(&[0x88, 0]));
}

#[test]
fn masking_in_words_is_masking_by_bytes() {
    for offset in 0..9 {
        for len in 0..40 {
            let mut data: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let expected: Vec<u8> =
                data.iter().enumerate().map(|(n, byte)| byte ^ MASK[(n + offset) % 4]).collect();
            mask(&mut data, MASK, offset);
            assert_eq!(data, expected);
        }
    }
}

/// A stream that gives out its bytes in pieces, then says that there is no more for now, and takes the bytes that are
/// written.
struct Pieces {
    data: Vec<u8>,
    at: usize,
    written: Vec<u8>,
}

impl Pieces {
    fn of(data: &[u8]) -> Self {
        Self { data: data.to_vec(), at: 0, written: Vec::new() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.data[self.at..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = rest.len().min(buffer.len()).min(97);
        buffer[..taken].copy_from_slice(&rest[..taken]);
        self.at += taken;
        Ok(taken)
    }
}

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
enum End {
    Waiting,
    Failed,
    /// A close with a code that it does not let through, which it reports as one of its own.
    BadClose,
    /// A text, or a reason to close, that is not UTF-8.
    NotText,
}

fn oracle(role: Role, stream: &[u8]) -> (Vec<Incoming>, End) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX))
        .max_frame_size(Some(MAX))
        .read_buffer_size(512);
    let role = match role {
        Role::Server => OracleRole::Server,
        Role::Client => OracleRole::Client,
    };
    let mut context = WebSocketContext::new(role, Some(config));
    let mut pieces = Pieces::of(stream);
    let mut seen = Vec::new();
    loop {
        seen.push(match context.read(&mut pieces) {
            Ok(Message::Text(text)) => Incoming::Text(text.into()),
            Ok(Message::Binary(data)) => Incoming::Binary(data),
            Ok(Message::Ping(data)) => Incoming::Ping(data),
            Ok(Message::Pong(_)) => Incoming::Pong,
            Ok(Message::Close(Some(close))) if close.reason.as_str() == "Protocol violation" => {
                return (seen, End::BadClose);
            }
            Ok(Message::Close(close)) => {
                seen.push(Incoming::Close(close.map(|close| close.code.into())));
                return (seen, End::Waiting);
            }
            Ok(Message::Frame(_)) => unreachable!(),
            Err(tungstenite::Error::Io(_)) => return (seen, End::Waiting),
            Err(tungstenite::Error::Utf8(_)) => return (seen, End::NotText),
            Err(_) => return (seen, End::Failed),
        });
    }
}

#[derive(Clone, Debug)]
struct Piece {
    first: u8,
    payload: Vec<u8>,
    mask: [u8; 4],
}

/// A message in some fragments, with control frames in between.
fn message() -> impl Strategy<Value = Vec<Piece>> {
    let text = prop::collection::vec(any::<char>(), 0..120).prop_map(|c| c.into_iter().collect::<String>());
    let content = prop_oneof![
        text.prop_map(|text| (0x1, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(|data| (0x2, data)),
    ];
    let control = (prop_oneof![Just(0x89u8), Just(0x8au8)], prop::collection::vec(any::<u8>(), 0..=125));
    let controls = prop::collection::vec(prop::option::weighted(0.3, control), 4);
    (content, prop::collection::vec(any::<prop::sample::Index>(), 0..4), controls, any::<[u8; 4]>()).prop_map(
        |((opcode, data), cuts, controls, mask)| {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
            cuts.push(data.len());
            cuts.sort();
            let mut pieces = Vec::new();
            let mut start = 0;
            for (n, &end) in cuts.iter().enumerate() {
                if let Some(Some((first, payload))) = controls.get(n) {
                    pieces.push(Piece { first: *first, payload: payload.clone(), mask });
                }
                let fin = if n + 1 == cuts.len() { 0x80 } else { 0 };
                let opcode = if n == 0 { opcode } else { 0 };
                pieces.push(Piece { first: fin | opcode, payload: data[start..end].to_vec(), mask });
                start = end;
            }
            pieces
        },
    )
}

fn stream() -> impl Strategy<Value = (Role, Vec<u8>)> {
    let close = (prop_oneof![Just(1000u16), any::<u16>()], "[a-zä]{0,20}")
        .prop_map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat());
    let role = prop_oneof![Just(Role::Server), Just(Role::Client)];
    (role, prop::collection::vec(message(), 0..5), prop::option::of(close)).prop_map(
        |(role, messages, close)| {
            let close = close.map(|payload| Piece { first: 0x88, payload, mask: MASK });
            let mut bytes = Vec::new();
            for piece in messages.into_iter().flatten().chain(close) {
                let mask = if role == Role::Server { Some(piece.mask) } else { None };
                bytes.extend(frame(piece.first, mask, &piece.payload));
            }
            (role, bytes)
        },
    )
}

fn cut<'a>(stream: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    let mut rest = stream;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

/// Reads by both and holds them to the same account; `Err` says where they differ.
fn compare(role: Role, stream: &[u8], sizes: &[usize]) -> Result<(), TestCaseError> {
    let (mut seen, result, idle) = read_chunks(role, cut(stream, sizes));
    prop_assert_eq!(&(seen.clone(), result, idle), &read_chunks(role, [stream]));
    let (expected, end) = oracle(role, stream);
    match end {
        // It judges a frame when it is complete, we by its header.
        End::Waiting => {}
        End::Failed => prop_assert!(result.is_err()),
        // 1014 was registered later than its list was made.
        End::BadClose if seen.last() == Some(&Incoming::Close(Some(1014))) => drop(seen.pop()),
        End::BadClose => prop_assert_eq!(result, Err(ReadError::BadCloseCode)),
        End::NotText => {
            prop_assert!(
                matches!(
                    result,
                    Err(ReadError::NotUtf8 | ReadError::BadCloseReason | ReadError::BadCloseCode)
                ),
                "{result:?}"
            );
        }
    }
    prop_assert_eq!(seen, expected);
    Ok(())
}

fn sizes(largest: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..largest, 1..8)
}

#[test]
fn valid_streams_read_as_the_oracle_reads_them() {
    let check = |((role, stream), sizes): ((Role, Vec<u8>), Vec<usize>)| {
        let (_, result, idle) = read_chunks(role, [&stream[..]]);
        prop_assert!(idle && matches!(result, Ok(()) | Err(ReadError::BadCloseCode)), "{result:?}");
        compare(role, &stream, &sizes)
    };
    TestRunner::deterministic().run(&(stream(), sizes(300)), check).unwrap();
}

#[test]
fn damaged_streams_read_as_the_oracle_reads_them() {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let check = |((role, mut stream), damage, sizes): ((Role, Vec<u8>), Vec<_>, Vec<usize>)| {
        for (place, byte) in damage {
            let place: prop::sample::Index = place;
            if !stream.is_empty() {
                let place = place.index(stream.len());
                stream[place] = byte;
            }
        }
        compare(role, &stream, &sizes)
    };
    TestRunner::deterministic().run(&(stream(), damage, sizes(300)), check).unwrap();
}

#[test]
fn noise_reads_as_the_oracle_reads_it() {
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let check = |(stream, sizes): (Vec<u8>, Vec<usize>)| {
        compare(Role::Server, &stream, &sizes)?;
        compare(Role::Client, &stream, &sizes)
    };
    TestRunner::deterministic().run(&(noise, sizes(50)), check).unwrap();
}

#[test]
fn every_stream_of_up_to_three_bytes_reads_as_the_oracle_reads_it() {
    for role in [Role::Server, Role::Client] {
        let check = |stream: &[u8]| compare(role, stream, &[1, 1, 1]).unwrap();
        check(&[]);
        for first in 0..=255 {
            check(&[first]);
            for second in 0..=255 {
                check(&[first, second]);
                // The first byte of a length, a mask, a payload or a close code, or of the next frame.
                for third in [0, 3, 0x7f, 0x80, 0x82, 0xff] {
                    check(&[first, second, third]);
                }
            }
        }
    }
}

#[test]
fn the_oracle_reads_what_we_write() {
    let payloads = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 0..6);
    let check = |(payloads, mask): (Vec<Vec<u8>>, Option<[u8; 4]>)| {
        let role = if mask.is_some() { Role::Server } else { Role::Client };
        let mut out = Vec::new();
        let mut expected = Vec::new();
        for payload in payloads {
            write_binary(&mut out, mask, &payload);
            write_ping(&mut out, mask, b"?");
            write_pong(&mut out, mask, b"!");
            write_text(&mut out, mask, "zwölf".as_bytes());
            expected.extend([
                Incoming::Binary(payload.into()),
                Incoming::Ping("?".into()),
                Incoming::Pong,
                Incoming::Text("zwölf".into()),
            ]);
        }
        write_close(&mut out, mask, Some(1001), "going");
        expected.push(Incoming::Close(Some(1001)));
        prop_assert_eq!(oracle(role, &out), (expected, End::Waiting));
        Ok(())
    };
    TestRunner::deterministic().run(&(payloads, prop::option::of(any::<[u8; 4]>())), check).unwrap();
}
