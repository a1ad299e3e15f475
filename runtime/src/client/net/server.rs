//! The address of a server as a client dials it.

use sansocket_protocol::client::{ServerAddr, ServerAddrError};

/// Reads the address of a server. The host's name is in A-labels then, as DNS, `Host`, TLS and proxies want it.
///
/// # Errors
/// [`ServerAddrError`].
pub(crate) fn parse(text: &str) -> Result<ServerAddr, ServerAddrError> {
    let mut addr = ServerAddr::parse(text)?;
    if !addr.host.is_ascii() {
        addr.host = to_ascii(&addr.host)?;
    }
    Ok(addr)
}

#[cfg(feature = "idn")]
fn to_ascii(host: &str) -> Result<String, ServerAddrError> {
    let host = idna::domain_to_ascii(host).map_err(|_| ServerAddrError::Host)?;
    // Letters that look like others may become characters that no host has.
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.bytes().all(is_legal) { Ok(host) } else { Err(ServerAddrError::Host) }
}

#[cfg(not(feature = "idn"))]
fn to_ascii(_: &str) -> Result<String, ServerAddrError> {
    Err(ServerAddrError::International)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "idn")]
    #[test]
    fn a_name_in_other_letters_is_dialled_in_a_labels() {
        for (text, authority) in [
            ("https://b\u{fc}cher.test:8443/x", "xn--bcher-kva.test:8443"),
            // The letters in two parts, and in capitals.
            ("https://BU\u{308}CHER.test", "xn--bcher-kva.test"),
            ("http://\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}", "xn--r8jz45g.xn--zckzah"),
            ("http://plain.test", "plain.test"),
        ] {
            assert_eq!(parse(text).unwrap().authority(), authority, "{text}");
        }
        assert_eq!(parse("http://\u{ff05}41.test"), Err(ServerAddrError::Host));
    }

    #[cfg(not(feature = "idn"))]
    #[test]
    fn a_name_in_other_letters_is_refused_with_the_way_out() {
        let refused = parse("https://b\u{fc}cher.test").unwrap_err();
        assert_eq!(refused, ServerAddrError::International);
        assert!(refused.to_string().contains("idn"), "{refused}");
        assert_eq!(parse("http://xn--bcher-kva.test").unwrap().authority(), "xn--bcher-kva.test");
    }
}
