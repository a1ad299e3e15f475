//! Hand-made messages, good and bad, that were sent to real peers: what hurt a peer or its clients is no message to us.

use crate::vectors::{bytes, lines};
use bytes::Bytes;
use sansocket_protocol::cluster::{
    Classic, Envelope, Limits, MalformedError, Message, Python, Sharded, Streams,
};
use serde_json::{Value, json};

fn decode(line: &Value) -> Result<Envelope, MalformedError> {
    let limits = Limits::default();
    let payload: Bytes = bytes(&line["payload_b64"]);
    let channel = line["channel"].as_str().unwrap();
    let peer = line["peer"].as_str().unwrap();
    if let Some(entry) = line["entry"].as_object() {
        let fields = entry.iter().map(|(name, value)| (name.as_bytes(), value.as_str().unwrap().as_bytes()));
        return Streams::default().decode_entry(fields, &limits);
    }
    if peer.starts_with("python") {
        Python::default().decode(channel, &payload, &limits)
    } else if peer.starts_with("sharded") {
        Sharded::default().decode(channel, &payload, &limits)
    } else {
        Classic::default().decode(channel, &payload, &limits)
    }
}

/// The event that a client was sent, if it was one.
fn received(line: &Value) -> Option<&Value> {
    let got = line["client_got"].as_array()?.first()?;
    (!got[0].as_str().is_some_and(|name| name.starts_with('$'))).then_some(got)
}

/// Returns whether something went wrong at the peer or its clients.
fn has_hurt(line: &Value) -> bool {
    let outcome = line["outcome"].as_str().unwrap();
    let was_disconnected = line["client_got"].to_string().contains("$disconnect");
    (outcome != "ok" && !outcome.starts_with("not re")) || was_disconnected || line["client_got"].is_string()
}

#[test]
fn what_reached_a_client_is_the_same_event_here_and_what_hurt_is_refused() {
    let (mut reached, mut refused) = (0, 0);
    for line in lines(include_str!("../vectors/cluster/tolerance.jsonl")) {
        let decoded = decode(&line);
        if has_hurt(&line) {
            refused += 1;
            assert!(decoded.is_err(), "{decoded:?}: {line}");
            continue;
        }
        let Some(got) = received(&line) else { continue };
        if got[1] == json!({ "$b64": "" }) {
            // Python reads anything as base64.
            assert_eq!(decoded, Err(MalformedError::Base64));
            continue;
        }
        reached += 1;
        let envelope = decoded.unwrap_or_else(|error| panic!("{error}: {line}"));
        let Message::Emit { event, .. } = &envelope.message else { panic!("{line}") };
        let name = got[0].as_str().map_or_else(|| got[0].to_string(), str::to_string);
        assert_eq!(event.name(), name);
        let args: Vec<Value> = (0..event.args().len())
            .map(|at| serde_json::from_str(event.args().json(at).unwrap()).unwrap())
            .collect();
        assert_eq!(args, got.as_array().unwrap()[1..]);
    }
    assert_eq!((reached, refused), (34, 28));
}

/// Of what neither reached a client nor hurt anybody: which are messages, in the order of the file.
#[test]
fn the_rest_is_a_message_or_none_as_it_is_to_the_peers() {
    let mut messages = Vec::new();
    for line in lines(include_str!("../vectors/cluster/tolerance.jsonl")) {
        if received(&line).is_none() && !has_hurt(&line) {
            if let Ok(envelope) = decode(&line) {
                messages.push((envelope.message.kind(), line["note"].as_str().unwrap().to_string()));
            }
        }
    }
    let messages: Vec<(&str, &str)> = messages.iter().map(|(kind, note)| (*kind, &note[..])).collect();
    assert_eq!(
        messages,
        [
            // Python: to a room without a name, to a namespace that nobody has, an answer to another node, all but one.
            ("emit", ""),
            ("emit", ""),
            ("acknowledgement", ""),
            ("emit", ""),
            ("join", ""),
            ("join", ""),
            ("emit", ""),
            ("leave", ""),
            ("join", "join without uid"),
            ("fetch sockets", "fetch"),
            ("fetch ids", "SOCKETS"),
            ("fetch rooms", "ALL_ROOMS"),
            ("join", "legacy join"),
            ("server-side emit", "server side emit with ack"),
            ("emit", "well-formed again"),
            ("hello", "heartbeat type 1"),
            ("hello", "heartbeat type 1"),
            ("emit", "well-formed again"),
        ]
    );
}
