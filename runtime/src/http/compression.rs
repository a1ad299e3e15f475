//! Compressed answers: which encoding a client takes, and the body in it (RFC 9110, sections 8.4 and 12.5.3).

use crate::http::gate::Gate;
use crate::websocket::deflate::compress::{Kind, Wrapping, compress_whole};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, HeaderMap};
use sansocket_protocol::engine::Response;

/// The level at which answers to polls are compressed: zlib's own default, as in the reference.
const POLL_LEVEL: u8 = 6;

/// The size from which files are compressed: the reference's for answers to polls.
pub(crate) const THRESHOLD: usize = 1024;

impl Gate {
    /// The answer to a poll in an encoding that the client takes, if answers are compressed and this one is worth it. The
    /// new body is counted before the other is let go of, so that the budget is not free for a moment.
    pub(super) fn compressed(
        &self,
        mut reply: Response,
        headers: &HeaderMap,
        count: impl FnOnce(&mut Bytes),
    ) -> Response {
        let Some(threshold) = self.http_compression else { return reply };
        if !reply.may_compress() || reply.body.len() < threshold {
            return reply;
        }
        let Some(encoding) = Encoding::accepted(headers) else { return reply };
        let Some(mut body) = encoding.encode(&reply.body, POLL_LEVEL) else { return reply };
        count(&mut body);
        reply.body = body;
        reply.header("content-encoding", encoding.name())
    }
}

/// A content encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Deflate,
}

impl Encoding {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    pub(crate) const fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// The encoding that a client wants most, by its `Accept-Encoding`. `None`: none of them, or rather no encoding.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut weights = [None; 2];
        let (mut any, mut identity) = (None, None);
        for value in headers.get_all(ACCEPT_ENCODING) {
            let Ok(value) = value.to_str() else { continue };
            for element in value.split(',') {
                let mut parts = element.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default();
                let Some(weight) = parts.next().map_or(Some(1000), weight) else { continue };
                // The names are the same in any case; `x-gzip` is an old one (8.4.1.3).
                let slot = match &*name.to_ascii_lowercase() {
                    "gzip" | "x-gzip" => &mut weights[0],
                    "deflate" => &mut weights[1],
                    "identity" => &mut identity,
                    "*" => &mut any,
                    _ => continue,
                };
                *slot = Some(weight);
            }
        }
        let weight = |slot: Option<u16>| slot.or(any).unwrap_or(0);
        let [gzip, deflate] = weights.map(weight);
        let (best, encoding) = if deflate > gzip { (deflate, Self::Deflate) } else { (gzip, Self::Gzip) };
        (best > 0 && best >= identity.unwrap_or(0)).then_some(encoding)
    }

    /// The body in this encoding, unless that is no smaller.
    pub(crate) fn encode(self, body: &[u8], level: u8) -> Option<Bytes> {
        let wrapping = match self {
            Self::Gzip => Wrapping::Gzip,
            Self::Deflate => Wrapping::Zlib,
        };
        let kind = Kind { level, memory_level: 8, window_bits: 15, wrapping };
        let encoded = compress_whole(kind, body).ok()?;
        (encoded.len() < body.len()).then(|| encoded.into())
    }
}

/// A weight in thousandths (12.4.2): `q=0.5` is 500. `None` if it is not one.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    if fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::{GzDecoder, ZlibDecoder};
    use std::io::Read;

    fn accepted(values: &[&'static str]) -> Option<Encoding> {
        let values = values.iter().map(|value| (ACCEPT_ENCODING, HeaderValue::from_static(value)));
        Encoding::accepted(&values.collect())
    }

    #[test]
    fn the_encoding_with_the_largest_weight_is_taken() {
        use Encoding::*;
        let table: [(&[&'static str], Option<Encoding>); 22] = [
            (&[], None),
            (&[""], None),
            (&["gzip"], Some(Gzip)),
            (&["GZip"], Some(Gzip)),
            (&["x-gzip"], Some(Gzip)),
            (&["deflate"], Some(Deflate)),
            (&["deflate, gzip"], Some(Gzip)),
            (&["gzip, deflate, br, zstd"], Some(Gzip)),
            (&["deflate", "gzip;q=0"], Some(Deflate)),
            (&["gzip;q=0.5, deflate;q=0.501"], Some(Deflate)),
            (&["gzip ; q=1.000"], Some(Gzip)),
            (&["gzip;Q=0.1"], Some(Gzip)),
            (&["br"], None),
            (&["*"], Some(Gzip)),
            (&["*;q=0.5, gzip;q=0"], Some(Deflate)),
            (&["*;q=0"], None),
            (&["gzip;q=0.000"], None),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip"], Some(Gzip)),
            (&["identity"], None),
            // Not weights.
            (&["gzip;q=2, deflate;q=0.0001"], None),
            (&["gzip;level=9, deflate;q=+1"], None),
        ];
        for (values, expected) in table {
            assert_eq!(accepted(values), expected, "{values:?}");
        }
    }

    #[test]
    fn bodies_come_back_as_they_were() {
        let body = "the same again, ".repeat(1000).into_bytes();
        let gzip = Encoding::Gzip.encode(&body, 6).expect("smaller");
        let deflate = Encoding::Deflate.encode(&body, 1).expect("smaller");
        assert!(gzip.len() < 200 && deflate.len() < 300, "{} {}", gzip.len(), deflate.len());
        let (mut from_gzip, mut from_deflate) = (Vec::new(), Vec::new());
        GzDecoder::new(&*gzip).read_to_end(&mut from_gzip).expect("gzip");
        ZlibDecoder::new(&*deflate).read_to_end(&mut from_deflate).expect("zlib");
        assert!(from_gzip == body && from_deflate == body);
    }

    #[test]
    fn a_body_that_does_not_get_smaller_stays_as_it_is() {
        assert_eq!(Encoding::Gzip.encode(b"short", 9), None);
    }
}
