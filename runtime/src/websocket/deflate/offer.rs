//! The negotiation in the opening handshake (RFC 7692, sections 5 and 7.1; RFC 6455, section 9.1).

use super::{PerMessageDeflate, WINDOW_BITS, Wanted};
use crate::websocket::Role;
use http::header::{HeaderMap, SEC_WEBSOCKET_EXTENSIONS};
use std::fmt::Write as _;
use thiserror::Error;

const NAME: &str = "permessage-deflate";
/// The most bytes of `Sec-WebSocket-Extensions` that are looked at. Longer lists count as none.
const MAX_LIST: usize = 4 << 10;
/// The most extensions in it.
const MAX_EXTENSIONS: usize = 32;

/// The parameters that both ends have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The parameters of the messages that the server sends.
    pub(crate) server: Direction,
    /// The parameters of the messages that the client sends.
    pub(crate) client: Direction,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Direction {
    /// The logarithm of the window, 8 to 15.
    pub(crate) window_bits: u8,
    /// Messages may refer to earlier ones.
    pub(crate) takeover: bool,
}

impl Agreed {
    /// The direction that this end sends in.
    pub(crate) fn sent_by(self, role: Role) -> Direction {
        match role {
            Role::Server => self.server,
            Role::Client => self.client,
        }
    }

    /// The direction that this end receives in.
    pub(crate) fn received_by(self, role: Role) -> Direction {
        match role {
            Role::Server => self.client,
            Role::Client => self.server,
        }
    }

    /// The server's answer to that offer. A limit that was offered is accepted by naming it (7.1.2.1), whatever it is;
    /// a client that has not said that it can limit its window is not asked to (7.1.2.2).
    fn answer(self, offered: &Parameters) -> String {
        let client_bits = match offered.client_bits {
            Some(Bits::AtMost(_)) => Some(self.client.window_bits),
            Some(Bits::Any) => Some(self.client.window_bits).filter(|bits| *bits < 15),
            None => None,
        };
        let is_named = self.server.window_bits < 15 || offered.server_bits.is_some();
        let server_bits = is_named.then_some(self.server.window_bits);
        let mut answer = NAME.to_owned();
        flag(&mut answer, "server_no_context_takeover", !self.server.takeover);
        flag(&mut answer, "client_no_context_takeover", !self.client.takeover);
        number(&mut answer, "server_max_window_bits", server_bits);
        number(&mut answer, "client_max_window_bits", client_bits);
        answer
    }
}

fn flag(header: &mut String, name: &str, is_set: bool) {
    if is_set {
        header.push_str("; ");
        header.push_str(name);
    }
}

fn number(header: &mut String, name: &str, value: Option<u8>) {
    if let Some(value) = value {
        // Writing to a string does not fail.
        let _ = write!(header, "; {name}={value}");
    }
}

/// The reason why an answer to the client's offer is not one. The client has to give the connection up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum AnswerError {
    #[error("the server's Sec-WebSocket-Extensions is malformed")]
    Malformed,
    #[error("the server chose a WebSocket extension that this client has not offered")]
    NotOffered,
    #[error("the server's parameters of permessage-deflate are not legal, or contradict the offer")]
    Parameters,
}

/// The parameters of one `permessage-deflate` in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    client_bits: Option<Bits>,
}

/// A value of `client_max_window_bits`, which an offer may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bits {
    Any,
    AtMost(u8),
}

impl PerMessageDeflate {
    /// Takes the first offer of a client that is legal and fits these settings (RFC 7692, section 5.1): the agreement,
    /// and the value of `Sec-WebSocket-Extensions` in the answer.
    pub(crate) fn accept(&self, headers: &HeaderMap) -> Option<(Agreed, String)> {
        let list = list(headers)?;
        let offers = extensions(&list)?;
        offers.iter().filter(|offer| offer.name.eq_ignore_ascii_case(NAME)).find_map(|offer| {
            let offered = Parameters::read(&offer.parameters)?;
            let agreed = self.agree(&offered)?;
            Some((agreed, agreed.answer(&offered)))
        })
    }

    fn agree(&self, offered: &Parameters) -> Option<Agreed> {
        let server_bits = offered.server_bits.unwrap_or(15).min(self.server.window_bits);
        // zlib cannot compress with the smallest of the RFC's windows.
        if !WINDOW_BITS.contains(&server_bits) {
            return None;
        }
        let client_bits = match offered.client_bits {
            Some(Bits::AtMost(bits)) => bits.min(self.client.window_bits),
            Some(Bits::Any) => self.client.window_bits,
            // It may use any window (7.1.2.2).
            None if self.client.window_bits < 15 => return None,
            None => 15,
        };
        Some(Agreed {
            server: Direction {
                window_bits: server_bits,
                takeover: self.server.takeover && !offered.server_no_takeover,
            },
            client: Direction {
                window_bits: client_bits,
                takeover: self.client.takeover && !offered.client_no_takeover,
            },
        })
    }

    /// A client's offer: the value of `Sec-WebSocket-Extensions` in its request.
    pub(crate) fn offer(&self) -> String {
        let below_15 = |wanted: Wanted| Some(wanted.window_bits).filter(|bits| *bits < 15);
        let mut offer = NAME.to_owned();
        flag(&mut offer, "server_no_context_takeover", !self.server.takeover);
        flag(&mut offer, "client_no_context_takeover", !self.client.takeover);
        number(&mut offer, "server_max_window_bits", below_15(self.server));
        // Without a value: a server may choose.
        flag(&mut offer, "client_max_window_bits", self.client.window_bits == 15);
        number(&mut offer, "client_max_window_bits", below_15(self.client));
        offer
    }

    /// Judges the server's answer to [`offer`](Self::offer) (RFC 7692, section 5.1): `None` if it declined.
    fn judge(&self, answer: &Parameters) -> Option<Agreed> {
        let server_bits = match answer.server_bits {
            Some(bits) if bits <= self.server.window_bits => bits,
            // It must accept a limit by naming it (7.1.2.1).
            None if self.server.window_bits == 15 => 15,
            _ => return None,
        };
        let client_bits = match answer.client_bits {
            Some(Bits::AtMost(bits)) => bits.min(self.client.window_bits),
            None => self.client.window_bits,
            // In an answer it has a value (7.1.2.2).
            Some(Bits::Any) => return None,
        };
        if !self.server.takeover && !answer.server_no_takeover {
            return None;
        }
        Some(Agreed {
            server: Direction { window_bits: server_bits, takeover: !answer.server_no_takeover },
            client: Direction {
                window_bits: client_bits,
                takeover: self.client.takeover && !answer.client_no_takeover,
            },
        })
    }
}

/// Judges the extensions in a server's answer 101, for a client that has made that offer, or none.
///
/// # Errors
/// [`AnswerError`]: the connection must be given up.
pub(crate) fn judge_answer(
    offered: Option<&PerMessageDeflate>,
    headers: &HeaderMap,
) -> Result<Option<Agreed>, AnswerError> {
    if !headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Ok(None);
    }
    let list = list(headers).ok_or(AnswerError::Malformed)?;
    let chosen = extensions(&list).ok_or(AnswerError::Malformed)?;
    match (offered, &*chosen) {
        // An empty header says nothing.
        (_, []) => Ok(None),
        (Some(offered), [only]) if only.name.eq_ignore_ascii_case(NAME) => {
            let agreed = Parameters::read(&only.parameters).and_then(|answer| offered.judge(&answer));
            agreed.map(Some).ok_or(AnswerError::Parameters)
        }
        _ => Err(AnswerError::NotOffered),
    }
}

impl Parameters {
    /// Reads them as section 7.1 has them: each at most once, none that is unknown, none with a value that it cannot
    /// have. `None` if they are not legal.
    fn read(parameters: &[(&str, Option<&str>)]) -> Option<Self> {
        let mut read = Self::default();
        for (name, value) in parameters {
            let is_new = match (&*name.to_ascii_lowercase(), value) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut read.server_no_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut read.client_no_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => {
                    read.server_bits.replace(window_bits(value)?).is_none()
                }
                ("client_max_window_bits", None) => read.client_bits.replace(Bits::Any).is_none(),
                ("client_max_window_bits", Some(value)) => {
                    read.client_bits.replace(Bits::AtMost(window_bits(value)?)).is_none()
                }
                _ => return None,
            };
            if !is_new {
                return None;
            }
        }
        Some(read)
    }
}

/// Returns whether this is a token (RFC 9110, section 5.6.2), as the name of an extension or a subprotocol has to be.
pub(in crate::websocket) fn is_token(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_legal)
}

/// A decimal from 8 to 15, without a zero in front (7.1.2.1).
fn window_bits(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

/// One extension of a list.
#[derive(Debug, PartialEq, Eq)]
struct Extension<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<&'a str>)>,
}

/// All lines of the header as one list.
fn list(headers: &HeaderMap) -> Option<String> {
    let mut list = String::new();
    for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        if list.len() + value.len() >= MAX_LIST {
            return None;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(value.to_str().ok()?);
    }
    Some(list)
}

/// Takes a list apart (RFC 6455, section 9.1). A value in quotes must be a token all the same, so that no comma and no
/// semicolon can stand in one. Empty elements of the list are legal (RFC 9110, section 5.6.1).
fn extensions(list: &str) -> Option<Vec<Extension<'_>>> {
    let mut extensions = Vec::new();
    for element in list.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().filter(|name| is_token(name))?;
        let parameters = parts.map(parameter).collect::<Option<Vec<_>>>()?;
        if extensions.len() == MAX_EXTENSIONS {
            return None;
        }
        extensions.push(Extension { name, parameters });
    }
    Some(extensions)
}

fn parameter(text: &str) -> Option<(&str, Option<&str>)> {
    let (name, value) = match text.split_once('=') {
        None => (text, None),
        Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start())?)),
    };
    (is_token(name) && value.is_none_or(is_token)).then_some((name, value))
}

fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        None => Some(value),
        Some(rest) => rest.strip_suffix('"'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(values: &[&str]) -> HeaderMap {
        let value = |value: &&str| HeaderValue::from_str(value).expect("a legal header");
        values.iter().map(|text| (SEC_WEBSOCKET_EXTENSIONS, value(text))).collect()
    }

    fn both() -> PerMessageDeflate {
        PerMessageDeflate::default().server_context_takeover(true).client_context_takeover(true)
    }

    fn answer(settings: &PerMessageDeflate, values: &[&str]) -> Option<String> {
        settings.accept(&headers(values)).map(|(_, answer)| answer)
    }

    #[test]
    fn a_server_answers_an_offer_in_its_own_terms() {
        let table: [(PerMessageDeflate, &str, Option<&str>); 15] = [
            (both(), "permessage-deflate", Some("permessage-deflate")),
            (both(), "PerMessage-Deflate", Some("permessage-deflate")),
            // The default settings ask for no takeover, whatever the offer.
            (
                PerMessageDeflate::default(),
                "permessage-deflate; client_max_window_bits",
                Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
            ),
            (
                both(),
                "permessage-deflate; server_no_context_takeover",
                Some("permessage-deflate; server_no_context_takeover"),
            ),
            (
                both(),
                "permessage-deflate; client_no_context_takeover",
                Some("permessage-deflate; client_no_context_takeover"),
            ),
            (
                both(),
                "permessage-deflate; server_max_window_bits=10",
                Some("permessage-deflate; server_max_window_bits=10"),
            ),
            (
                both().server_window_bits(9),
                "permessage-deflate; server_max_window_bits=\"10\"",
                Some("permessage-deflate; server_max_window_bits=9"),
            ),
            // Its own limit it may name without having been asked (7.1.2.1).
            (
                both().server_window_bits(12),
                "permessage-deflate",
                Some("permessage-deflate; server_max_window_bits=12"),
            ),
            (both(), "permessage-deflate; server_max_window_bits=8", None),
            (
                both(),
                "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
                Some("permessage-deflate; server_max_window_bits=15; client_max_window_bits=15"),
            ),
            (both(), "permessage-deflate; client_max_window_bits", Some("permessage-deflate")),
            (
                both(),
                "permessage-deflate; client_max_window_bits=8",
                Some("permessage-deflate; client_max_window_bits=8"),
            ),
            (
                both().client_window_bits(11),
                "permessage-deflate; client_max_window_bits",
                Some("permessage-deflate; client_max_window_bits=11"),
            ),
            (
                both().client_window_bits(11),
                "permessage-deflate; client_max_window_bits=10",
                Some("permessage-deflate; client_max_window_bits=10"),
            ),
            // That client cannot limit its window.
            (both().client_window_bits(11), "permessage-deflate", None),
        ];
        for (settings, offer, expected) in table {
            assert_eq!(answer(&settings, &[offer]).as_deref(), expected, "{settings:?} {offer}");
        }
    }

    #[test]
    fn the_first_offer_that_is_legal_and_fits_is_taken() {
        let first = "x-other; a=1, permessage-deflate; server_max_window_bits=8, permessage-deflate; unknown";
        let second = "permessage-deflate; server_max_window_bits=11, permessage-deflate";
        let expected = Some("permessage-deflate; server_max_window_bits=11".to_owned());
        assert_eq!(answer(&both(), &[first, second]), expected);
        assert_eq!(answer(&both(), &[&format!("{first} , ,{second}")]), expected);
        assert_eq!(answer(&both(), &[first]), None);
        assert_eq!(answer(&both(), &[]), None);
    }

    #[test]
    fn offers_that_are_not_legal_are_declined() {
        for wrong in [
            "server_no_context_takeover=1",
            "client_no_context_takeover=\"\"",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits",
            "server_max_window_bits=",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=09",
            "server_max_window_bits=+9",
            "server_max_window_bits=9; server_max_window_bits=9",
            "client_max_window_bits=16",
            "client_max_window_bits=0",
            "client_max_window_bits; client_max_window_bits=10",
            "server_max_window_bits=\"10",
            "server_max_window_bits=\"1 0\"",
            "unknown",
            "unknown=1",
            "",
            "a b",
        ] {
            assert_eq!(answer(&both(), &[&format!("permessage-deflate; {wrong}")]), None, "{wrong}");
        }
        for wrong in ["permessage-deflate-2", "x-webkit-deflate-frame", "permessage deflate", "=", ";"] {
            assert_eq!(answer(&both(), &[wrong]), None, "{wrong}");
        }
    }

    #[test]
    fn lists_that_are_too_long_are_none() {
        let long = format!("permessage-deflate, x; a=\"{}\"", "b".repeat(MAX_LIST));
        assert_eq!(answer(&both(), &[&long]), None);
        let many = vec!["x"; MAX_EXTENSIONS].join(",");
        assert_eq!(answer(&both(), &[&many, "permessage-deflate"]), None);
        assert!(answer(&both(), &[&many[2..], "permessage-deflate"]).is_some());
    }

    #[test]
    fn a_client_offers_its_settings() {
        let table = [
            (both(), "permessage-deflate; client_max_window_bits"),
            (
                PerMessageDeflate::default(),
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
            ),
            (
                both().server_window_bits(10).client_window_bits(9),
                "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
            ),
        ];
        for (settings, offer) in table {
            assert_eq!(settings.offer(), offer);
            // A server of ours with the same settings accepts it, and the client its answer.
            let (agreed, answer) = settings.accept(&headers(&[offer])).expect("it fits");
            assert_eq!(judge_answer(Some(&settings), &headers(&[&answer])), Ok(Some(agreed)), "{answer}");
        }
    }

    #[test]
    fn a_client_judges_the_answer_by_its_offer() {
        use AnswerError::*;
        let direction = |window_bits, takeover| Direction { window_bits, takeover };
        let agreed = |server, client| Ok(Some(Agreed { server, client }));
        let limited = both().server_window_bits(10);
        let alone = PerMessageDeflate::default();
        type Judged = Result<Option<Agreed>, AnswerError>;
        let table: [(PerMessageDeflate, &str, Judged); 16] = [
            (both(), "permessage-deflate", agreed(direction(15, true), direction(15, true))),
            (both(), "", Ok(None)),
            (both(), "permessage-deflate, permessage-deflate", Err(NotOffered)),
            (both(), "x-other", Err(NotOffered)),
            (both(), "permessage-deflate; a b", Err(Malformed)),
            (both(), "permessage-deflate; unknown", Err(Parameters)),
            // More than was asked for is the server's right.
            (
                both(),
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=8; client_max_window_bits=8",
                agreed(direction(8, false), direction(8, false)),
            ),
            (both(), "permessage-deflate; client_max_window_bits", Err(Parameters)),
            (both(), "permessage-deflate; server_max_window_bits=16", Err(Parameters)),
            (
                limited.clone(),
                "permessage-deflate; server_max_window_bits=10",
                agreed(direction(10, true), direction(15, true)),
            ),
            (
                limited.clone(),
                "permessage-deflate; server_max_window_bits=9",
                agreed(direction(9, true), direction(15, true)),
            ),
            (limited.clone(), "permessage-deflate; server_max_window_bits=11", Err(Parameters)),
            (limited, "permessage-deflate", Err(Parameters)),
            // The server has not said that it will do without.
            (alone.clone(), "permessage-deflate", Err(Parameters)),
            (alone.clone(), "permessage-deflate; client_no_context_takeover", Err(Parameters)),
            (
                alone,
                "permessage-deflate; server_no_context_takeover",
                agreed(direction(15, false), direction(15, false)),
            ),
        ];
        for (settings, answer, expected) in table {
            assert_eq!(judge_answer(Some(&settings), &headers(&[answer])), expected, "{answer}");
        }
        assert_eq!(judge_answer(None, &headers(&[])), Ok(None));
        assert_eq!(judge_answer(None, &headers(&["permessage-deflate"])), Err(NotOffered));
    }
}
