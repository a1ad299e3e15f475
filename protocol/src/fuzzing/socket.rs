//! Socket.IO packets, their arguments and their attachments, against an oracle that takes the text apart with
//! `str`'s methods and reads JSON with serde_json alone.

use super::input::Input;
use crate::message::Frame;
use crate::socket::json::args::Args;
use crate::socket::json::reassembly::Reassembly;
use crate::socket::{Packet, PacketData, PacketError, PacketType, Parser, RESERVED_EVENTS};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The number of attachments that a packet may announce here.
const MAX_ATTACHMENTS: usize = 10;
/// The depth down to which the oracle looks; deeper JSON is only checked not to panic.
const MAX_DEPTH: usize = 60;

/// One packet: whether it is one, its parts, and that it can be passed on.
///
/// # Panics
/// If the decoder and the oracle disagree, or if what is passed on arrives as something else.
pub fn packet(data: &[u8]) {
    let decoded = Parser::json().decode(Bytes::copy_from_slice(data));
    let Ok(text) = core::str::from_utf8(data) else {
        assert_eq!(decoded.err(), Some(PacketError::InvalidUtf8));
        return;
    };
    match (decoded, obvious(text)) {
        (Err(_), Verdict::Refused | Verdict::Unknown) => {}
        (Ok(packet), Verdict::Unknown) => pass_on(packet),
        (Ok(packet), Verdict::Packet(expected)) => {
            assert_eq!(packet.kind() as u8, expected.digit - b'0');
            assert_eq!(packet.namespace(), expected.namespace);
            assert_eq!(packet.id(), expected.id);
            assert_eq!(packet.attachments(), expected.attachments);
            assert_eq!(packet.data().as_ref().map(PacketData::json).map(mended), expected.json.map(mended));
            let args = packet.clone().into_args();
            let elements = match expected.digit {
                b'2' | b'3' | b'5' | b'6' => expected.elements,
                _ => vec![],
            };
            let named = matches!(expected.digit, b'2' | b'5') && !elements.is_empty();
            assert_eq!(args.event().is_some(), named);
            if let (true, Some(Ok(name))) =
                (named, elements.first().map(|name| serde_json::from_str(&mended(name))))
            {
                let name: String = name;
                assert_eq!(args.event().as_deref(), Some(&*name));
            }
            let arguments = elements.get(usize::from(named)..).unwrap_or_default();
            assert_eq!(args.len(), arguments.len());
            for (position, argument) in arguments.iter().enumerate() {
                assert_eq!(args.json(position), Some(*argument));
            }
            pass_on(packet);
        }
        (decoded, expected) => panic!("{decoded:?} for {expected:?}"),
    }
}

/// A count of attachments, the number of an argument, then an array: what a handler sees of it.
///
/// # Panics
/// If it is something else than serde_json sees.
pub fn arguments(data: &[u8]) {
    let mut input = Input::new(data);
    let attachments: Vec<Bytes> = (0..input.byte() % 4).map(|n| Bytes::from(vec![n; 3])).collect();
    let skipped = input.below(4);
    let Ok(text) = core::str::from_utf8(input.rest()) else { return };
    let count = attachments.len();
    let elements: Option<Vec<&RawValue>> = serde_json::from_str(text).ok();
    let args = match (Args::from_json(text, attachments.clone()), elements) {
        (Ok(args), Some(elements)) => {
            let raw: Vec<&str> = elements.iter().map(|element| element.get()).collect();
            assert_eq!((0..args.len()).filter_map(|n| args.json(n)).collect::<Vec<_>>(), raw);
            assert_ne!(legal(text, count), Some(false));
            assert!(is_within_limits(text, elements.len()));
            args
        }
        (Err(error), Some(elements)) if is_limit(&error) => {
            assert!(!is_within_limits(text, elements.len()), "{error}");
            return;
        }
        (Err(PacketError::IllegalPlaceholder { .. }), Some(_)) => {
            assert!(count > 0);
            assert_ne!(legal(text, count), Some(true));
            return;
        }
        // Where there are too many levels, it says so before it sees that it is no JSON.
        (Err(PacketError::InvalidPayload { .. } | PacketError::TooDeep { .. }), None) => return,
        (args, elements) => panic!("{args:?} for {elements:?}"),
    };
    for position in 0..args.len() + 1 {
        let raw = args.json(position).unwrap_or("");
        let readable = mended(raw);
        let raw = &*readable;
        // Where there is nothing to be put in, typed reading is serde_json's, but that halves of surrogate pairs are read.
        if attachments.is_empty() {
            same(args.get::<Value>(position), serde_json::from_str::<Value>(raw));
            same(args.get::<&str>(position), serde_json::from_str::<&str>(raw));
            same(args.get::<Vec<f64>>(position), serde_json::from_str::<Vec<f64>>(raw));
            same(args.get::<(u8, String)>(position), serde_json::from_str::<(u8, String)>(raw));
        } else {
            // In a `Value` placeholders stay what they are.
            same(args.get::<Value>(position), serde_json::from_str::<Value>(raw));
        }
        // A placeholder in the place of an argument is its attachment, one way and the other.
        if let (true, Ok(pairs)) = (count > 0, serde_json::from_str::<Pairs<'_>>(raw)) {
            let num = pairs.placeholder().then(|| pairs.num()).flatten();
            let attachment = num.and_then(|num| attachments.get(num));
            assert_eq!(args.attachment(position), attachment);
            if attachment.is_some() {
                assert_eq!(args.get::<Bytes>(position).as_ref().ok(), attachment);
            }
        }
    }
    let all: Result<(Option<Value>, Option<Value>), _> = args.decode();
    if let Ok((first, second)) = all {
        let read = |position| args.get::<Option<Value>>(position).ok().flatten();
        assert_eq!((first, second), (read(0), read(1)));
    }
    let each: Vec<_> = args.iter().map(|argument| (argument.json(), argument.attachment())).collect();
    assert_eq!(each, (0..args.len()).map(|n| (args.json(n), args.attachment(n))).collect::<Vec<_>>());
    let rest = args.skip(skipped);
    assert_eq!(rest.len(), args.len().saturating_sub(skipped));
    for position in 0..rest.len() {
        assert_eq!(rest.json(position), args.json(position + skipped));
    }
    relay(&args);
    relay(&rest);
}

/// Operations on a reassembly: packets that begin, attachments that come.
///
/// # Panics
/// If it gives back something else than was put in, or holds more than it says.
pub fn reassembly(data: &[u8]) {
    let mut input = Input::new(data);
    let mut reassembly = Reassembly::new();
    // What it has been given of a packet, how many more are due, and how many bytes may come.
    let mut model: Option<(String, Vec<Bytes>, usize, usize)> = None;
    while !input.is_empty() {
        let before = model.take();
        if input.flag() {
            let announced = input.below(MAX_ATTACHMENTS + 1);
            let max = input.below(64);
            let text = match announced {
                0 => format!("2[\"e\",{max}]"),
                announced => format!("5{announced}-[\"e\",{max}]"),
            };
            let packet = Parser::json().decode(text.clone().into()).expect("a packet");
            let started = reassembly
                .start(packet, max, usize::MAX)
                .map(|packet| packet.map(|packet| packet.wire_len()));
            let expected = match before {
                Some((_, got, due, _)) => Err(PacketError::TextWhileWaiting { missing: due - got.len() }),
                None if announced == 0 => Ok(Some(text.len())),
                None => {
                    model = Some((text, vec![], announced, max));
                    Ok(None)
                }
            };
            assert_eq!(started, expected);
        } else {
            let len = input.below(32);
            let attachment = Bytes::copy_from_slice(input.take(len));
            let pushed = reassembly.push(attachment.clone());
            let Some((text, mut got, due, max)) = before else {
                assert_eq!(pushed.err(), Some(PacketError::UnexpectedBinary));
                continue;
            };
            got.push(attachment);
            if got.iter().map(Bytes::len).sum::<usize>() > max {
                assert_eq!(pushed.err(), Some(PacketError::AttachmentsTooLarge { max }));
            } else if got.len() == due {
                let packet = pushed.ok().flatten().expect("it is complete");
                assert_eq!(packet.wire_len(), text.len() + got.iter().map(Bytes::len).sum::<usize>());
                let args = packet.into_args();
                assert_eq!((args.event().as_deref(), args.get::<usize>(0)), (Some("e"), Ok(max)));
                assert_eq!(args.attachments(), got);
            } else {
                assert!(matches!(pushed, Ok(None)), "{pushed:?}");
                model = Some((text, got, due, max));
            }
        }
        assert_eq!(reassembly.is_waiting(), model.is_some());
        let held = model.iter().map(|(text, got, ..)| text.len() + got.iter().map(Bytes::len).sum::<usize>());
        assert_eq!(reassembly.wire_len(), held.sum::<usize>());
    }
}

/// Returns whether that is the error of a limit on what JSON may hold.
fn is_limit(error: &PacketError) -> bool {
    matches!(
        error,
        PacketError::TooDeep { .. }
            | PacketError::NumberTooLong { .. }
            | PacketError::TooManyArguments { .. }
    )
}

/// The text with U+FFFD for each half of a surrogate pair.
fn mended(json: &str) -> String {
    let mut out = String::new();
    let mut rest = json;
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        let units: Vec<u16> = [0, 6].into_iter().map_while(|at| escape.get(at..).and_then(unit)).collect();
        let len = match (units.first(), char::decode_utf16(units.iter().copied()).next()) {
            (None, _) => escape.char_indices().nth(2).map_or(escape.len(), |(at, _)| at),
            (Some(_), Some(Ok(char))) => 6 * char.len_utf16(),
            (Some(_), _) => 6,
        };
        let is_half = !units.is_empty() && char::decode_utf16(units).next().is_some_and(|char| char.is_err());
        out.push_str(if is_half { "\\ufffd" } else { &escape[..len] });
        rest = &escape[len..];
    }
    out.push_str(rest);
    out
}

/// Returns whether Python's parser and the reference's take that many arguments of JSON that deep, with such numbers in
/// it: counted character by character.
fn is_within_limits(json: &str, elements: usize) -> bool {
    let (mut depth, mut deepest, mut number, mut longest) = (0usize, 0, 0, 0);
    let mut chars = json.chars();
    while let Some(char) = chars.next() {
        number =
            if char.is_ascii_digit() || matches!(char, '-' | '+' | '.' | 'e' | 'E') { number + 1 } else { 0 };
        // The `e` of `true` stands alone.
        longest = longest.max(number);
        match char {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            '"' => loop {
                match chars.next() {
                    Some('\\') => drop(chars.next()),
                    Some('"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest <= 500 && longest <= 400 && elements <= 1000
}

fn same<T: PartialEq + fmt::Debug, A, B>(ours: Result<T, A>, oracle: Result<T, B>) {
    assert_eq!(ours.ok(), oracle.ok());
}

/// Completes a packet, looks at it from all sides, and sends it on.
fn pass_on(packet: Packet) {
    let mut reassembly = Reassembly::new();
    let mut complete = reassembly.start(packet, 100, usize::MAX).expect("nothing waits");
    let mut n = 0;
    while complete.is_none() {
        n += 1;
        complete = reassembly.push(Bytes::from(vec![n])).expect("it was announced");
    }
    let Some(packet) = complete else { return };
    let digit = packet.kind();
    let args = packet.into_args();
    let _ = format!("{args:?}");
    if let (PacketType::Event | PacketType::BinaryEvent, Some(name)) = (digit, args.event()) {
        assert!(!RESERVED_EVENTS.contains(&&*name));
    }
    relay(&args);
}

/// Arguments that are sent on are the same, with the placeholders in order; sent on again, they do not change.
fn relay(args: &Args) {
    let once = Parser::json().ack("/n", 5, args).expect("what came in can go out");
    peers_take(&once);
    let received = receive(&once);
    assert_eq!(received.len(), args.len());
    for position in 0..args.len() {
        let (before, after) = (args.attachment(position), received.attachment(position));
        assert_eq!(before, after);
        if args.attachments().is_empty() {
            assert_eq!(args.json(position), received.json(position));
        }
    }
    let twice = Parser::json().ack("/n", 5, &received).expect("what came in can go out");
    assert_eq!(once, twice);
    if !once.attachments().is_empty() {
        let (ours, sent) = (Canonical::of(&received), once.attachments().len());
        assert!(ours.is_none_or(|Canonical(nums)| nums == (0..sent).collect::<Vec<_>>()));
        assert!(sent <= args.attachments().len());
    }
}

/// Every frame is within the limits of npm's and Python's parsers: their users must not lose the connection for
/// something that another client has sent.
fn peers_take(frame: &Frame) {
    let text = frame.text().map_or("", |text| core::str::from_utf8(text).expect("text"));
    let json = &text[text.find('[').unwrap_or(text.len())..];
    let attachments = frame.attachments().len();
    assert!(attachments <= MAX_ATTACHMENTS && is_within_limits(json, 0), "{text}");
    if attachments > 0 {
        assert_ne!(legal(json, attachments), Some(false), "{text}");
    }
}

fn receive(frame: &Frame) -> Args {
    let text = frame.text().expect("an acknowledgement has text").slice(1..);
    let packet = Parser::json().decode(text).expect("what we write is a packet");
    let mut reassembly = Reassembly::new();
    let mut complete = reassembly.start(packet, usize::MAX, usize::MAX).expect("nothing waits");
    for attachment in frame.attachments() {
        complete = reassembly.push(attachment.clone()).expect("it was announced");
    }
    complete.expect("all attachments were sent").into_args()
}

/// The numbers of the placeholders, in the order in which each stands first.
struct Canonical(Vec<usize>);

impl Canonical {
    fn of(args: &Args) -> Option<Self> {
        let mut nums = vec![];
        for position in 0..args.len() {
            walk(args.json(position)?, 0, &mut |pairs, _| {
                nums.extend(pairs.num().filter(|num| !nums.contains(num)));
                false
            })?;
        }
        Some(Self(nums))
    }
}

#[derive(Debug)]
enum Verdict<'a> {
    Refused,
    Packet(Expected<'a>),
    /// The oracle cannot read it: too deep, or keys that Rust cannot hold.
    Unknown,
}

#[derive(Debug)]
struct Expected<'a> {
    digit: u8,
    attachments: usize,
    namespace: &'a str,
    id: Option<u64>,
    json: Option<&'a str>,
    elements: Vec<&'a str>,
}

/// Returns the verdict of the reference, with the differences of `docs/deviations.md`.
fn obvious(text: &str) -> Verdict<'_> {
    let Some(digit @ b'0'..=b'6') = text.bytes().next() else { return Verdict::Refused };
    let mut rest = &text[1..];
    let mut attachments = 0;
    if digit >= b'5' {
        let Some((count, behind)) = rest.split_once('-') else { return Verdict::Refused };
        let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        match count.trim_start_matches('0').parse() {
            Ok(count @ 1..=MAX_ATTACHMENTS) if is_number => attachments = count,
            _ => return Verdict::Refused,
        }
        rest = behind;
    }
    let mut namespace = "/";
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
    }
    let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let id = &rest[..rest.len() - behind.len()];
    let id = if id.is_empty() { None } else { Some(id.parse::<u64>()) };
    let Ok(id) = id.transpose() else { return Verdict::Refused };
    let json = behind.trim_start_matches([' ', '\t', '\r', '\n']);
    let mut expected = Expected { digit, attachments, namespace, id, json: None, elements: vec![] };
    if json.is_empty() {
        return Verdict::Packet(expected);
    }
    expected.json = Some(json);
    if serde_json::from_str::<IgnoredAny>(json).is_err() {
        return Verdict::Refused;
    }
    let fits = match digit {
        b'0' => json.starts_with('{'),
        b'1' => false,
        b'4' => json.starts_with(['{', '"']),
        _ => json.starts_with('['),
    };
    if !fits {
        return Verdict::Refused;
    }
    if matches!(digit, b'2' | b'3' | b'5' | b'6') {
        match serde_json::from_str::<Vec<&RawValue>>(json) {
            Ok(elements) => expected.elements = elements.iter().map(|element| element.get()).collect(),
            Err(_) => return Verdict::Unknown,
        }
    }
    if !is_within_limits(
        json,
        expected.elements.len().saturating_sub(usize::from(matches!(digit, b'2' | b'5'))),
    ) {
        return Verdict::Refused;
    }
    if matches!(digit, b'2' | b'5') {
        let Some(name) = expected.elements.first() else { return Verdict::Refused };
        let is_number = name.chars().all(|c: char| c == '-' || c.is_ascii_digit());
        match serde_json::from_str::<String>(&mended(name)) {
            Ok(name) if RESERVED_EVENTS.contains(&&*name) => return Verdict::Refused,
            Err(_) if !is_number && !name.starts_with('"') => return Verdict::Refused,
            _ => {}
        }
    }
    if attachments > 0 {
        match legal(json, attachments) {
            Some(true) => {}
            Some(false) => return Verdict::Refused,
            None => return Verdict::Unknown,
        }
    }
    Verdict::Packet(expected)
}

/// Returns whether each placeholder names one of `count` attachments.
fn legal(json: &str, count: usize) -> Option<bool> {
    if count == 0 {
        return Some(true);
    }
    let mut legal = true;
    walk(json, 0, &mut |pairs, _| {
        legal &= pairs.num().is_some_and(|num| num < count);
        true
    })?;
    Some(legal)
}

/// Calls `each` for every placeholder; it says whether to look inside of it, too. `None` if not all can be read.
fn walk(json: &str, depth: usize, each: &mut dyn FnMut(&Pairs<'_>, usize) -> bool) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match json.trim_start().bytes().next()? {
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            elements.iter().try_for_each(|element| walk(element.get(), depth + 1, each))
        }
        b'{' => {
            let pairs: Pairs<'_> = serde_json::from_str(json).ok()?;
            if pairs.placeholder() && !each(&pairs, depth) {
                return Some(());
            }
            pairs.0.iter().try_for_each(|(_, value)| walk(value.get(), depth + 1, each))
        }
        _ => Some(()),
    }
}

/// An object's members, all of them and in order.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl Pairs<'_> {
    fn last(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    fn placeholder(&self) -> bool {
        self.last("_placeholder") == Some("true")
    }

    fn num(&self) -> Option<usize> {
        let num: f64 = serde_json::from_str(self.last("num")?).ok()?;
        ((0.0..65536.0).contains(&num) && num % 1.0 == 0.0).then_some(num as usize)
    }
}

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = vec![];
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
