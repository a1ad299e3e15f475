//! A WebSocket reader never holds more than a small multiple of the largest message, whatever is sent and however it is
//! cut. Measured as the most that is held at one time.

use allocation_counter::measure;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sansocket_runtime::websocket::{Reader, Role, write_binary};

const MAX: usize = 4096;

/// A frame of this first byte, which announces this many bytes and has that many.
fn frame(first: u8, announced: u64, present: usize) -> Vec<u8> {
    let mut out = vec![first];
    match announced {
        0..=125 => out.push(0x80 | announced as u8),
        126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((announced as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend(announced.to_be_bytes());
        }
    }
    out.extend([1, 2, 3, 4]);
    out.resize(out.len() + present, 7);
    out
}

fn held(stream: &mut [u8], chunk: usize) -> u64 {
    measure(|| {
        let mut reader = Reader::new(Role::Server, MAX);
        for part in stream.chunks_mut(chunk) {
            // What is handed out is the caller's, and gone at once here.
            if reader.feed(part, &mut drop).is_err() {
                break;
            }
        }
    })
    .bytes_max
}

#[test]
fn frames_cost_no_more_than_a_multiple_of_the_largest_message() {
    let first = prop::sample::select(vec![0x00u8, 0x01, 0x02, 0x80, 0x81, 0x82, 0x89, 0x8a, 0x88]);
    let announced = prop_oneof![0..200u64, 0..5000u64, any::<u64>(), Just(MAX as u64), Just(MAX as u64 + 1)];
    let frames = prop::collection::vec((first, announced, prop::option::weighted(0.1, 0..300usize)), 1..40);
    let checked = TestRunner::deterministic().run(&(frames, 1..3000usize), |(frames, chunk)| {
        let mut stream = Vec::new();
        for (first, announced, present) in frames {
            let honest = usize::try_from(announced).unwrap_or(0).min(5000);
            stream.extend(frame(first, announced, present.unwrap_or(honest)));
        }
        let held = held(&mut stream, chunk);
        // A message that grows, and its copy while it moves.
        prop_assert!(held <= 3 * MAX as u64 + 1024, "{}", held);
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn fragments_of_one_byte_cost_no_more_than_whole_frames() {
    let mut stream = frame(0x02, 1, 1);
    for _ in 1..MAX {
        stream.extend(frame(0x00, 1, 1));
    }
    for chunk in [1, 7, 100_000] {
        let held = held(&mut stream.clone(), chunk);
        assert!(held <= 3 * MAX as u64 + 1024, "{held}");
    }
    let mut whole = Vec::new();
    write_binary(&mut whole, Some([1, 2, 3, 4]), &[7; MAX]);
    let held = held(&mut whole, 10);
    assert!(held <= 3 * MAX as u64 + 1024, "{held}");
}
