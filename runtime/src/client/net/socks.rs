//! Tunnels through a SOCKS 5 proxy (RFC 1928), with user and password if it wants them (RFC 1929). The proxy looks the
//! host's name up.

use crate::base::runtime::Stream;
use crate::client::net::dial::Target;
use hyper::rt::{Read, ReadBuf, Write};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Poll, ready};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// User and password for a proxy, each of at most 255 bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// `None` if one of them is too long for the protocol.
    pub(crate) fn new(user: Vec<u8>, password: Vec<u8>) -> Option<Self> {
        let fits = |text: &[u8]| text.len() <= usize::from(u8::MAX);
        (fits(&user) && fits(&password)).then_some(Self { user, password })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Asks for a tunnel to the target.
pub(crate) async fn tunnel(
    mut stream: Box<dyn Stream>,
    target: &Target,
    credentials: Option<&Credentials>,
) -> io::Result<Box<dyn Stream>> {
    authenticate(&mut stream, credentials).await?;
    let mut request = vec![VERSION, CONNECT, 0];
    match target.host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => {
            request.push(NAME);
            push_short(&mut request, target.host.as_bytes())?;
        }
    }
    request.extend(target.port.to_be_bytes());
    write(&mut stream, &request).await?;
    let [version, status, _, kind] = read(&mut stream).await?;
    check_version(version, VERSION)?;
    if status != 0 {
        return Err(refused(status));
    }
    // The address that the proxy connects from says nothing to anybody here.
    match kind {
        IPV4 => drop(read::<4>(&mut stream).await?),
        IPV6 => drop(read::<16>(&mut stream).await?),
        NAME => {
            let [length] = read(&mut stream).await?;
            for _ in 0..length {
                let [_] = read(&mut stream).await?;
            }
        }
        _ => return Err(broken("the proxy's answer names an address of an unknown kind")),
    }
    let [_, _] = read(&mut stream).await?;
    Ok(stream)
}

/// Agrees on a way to authenticate, and does so.
async fn authenticate(stream: &mut Box<dyn Stream>, credentials: Option<&Credentials>) -> io::Result<()> {
    let greeting: &[u8] = match credentials {
        None => &[VERSION, 1, NO_AUTHENTICATION],
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
    };
    write(stream, greeting).await?;
    let [version, method] = read(stream).await?;
    check_version(version, VERSION)?;
    match (method, credentials) {
        (NO_AUTHENTICATION, _) => Ok(()),
        (USER_AND_PASSWORD, Some(Credentials { user, password })) => {
            let mut request = vec![1];
            push_short(&mut request, user)?;
            push_short(&mut request, password)?;
            write(stream, &request).await?;
            let [version, status] = read(stream).await?;
            check_version(version, 1)?;
            if status == 0 { Ok(()) } else { Err(denied("the proxy refuses the user or the password")) }
        }
        (NONE_ACCEPTABLE, None) => {
            Err(denied("the proxy wants a user and a password, or another authentication"))
        }
        (NONE_ACCEPTABLE, Some(_)) => {
            Err(denied("the proxy wants another authentication than user and password"))
        }
        _ => Err(broken("the proxy has chosen an authentication that was not offered")),
    }
}

/// Adds bytes with their number before them.
fn push_short(request: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    let length = u8::try_from(bytes.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too long a name for a SOCKS proxy"))?;
    request.push(length);
    request.extend(bytes);
    Ok(())
}

fn check_version(version: u8, wanted: u8) -> io::Result<()> {
    if version == wanted { Ok(()) } else { Err(broken("the proxy does not answer in SOCKS 5")) }
}

fn broken(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words.to_owned())
}

fn denied(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, words.to_owned())
}

/// The error for a status (RFC 1928, section 6).
fn refused(status: u8) -> io::Error {
    use io::ErrorKind;
    let (kind, words) = match status {
        2 => (ErrorKind::PermissionDenied, "its rules forbid it"),
        3 => (ErrorKind::NetworkUnreachable, "the network is unreachable"),
        4 => (ErrorKind::HostUnreachable, "the host is unreachable"),
        5 => (ErrorKind::ConnectionRefused, "the connection was refused"),
        6 => (ErrorKind::TimedOut, "the connection timed out"),
        8 => (ErrorKind::Unsupported, "it does not know this kind of address"),
        _ => (ErrorKind::Other, "a general failure"),
    };
    io::Error::new(kind, format!("the SOCKS proxy did not connect: {words}"))
}

async fn write(stream: &mut Box<dyn Stream>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|context| Pin::new(&mut *stream).poll_write(context, bytes)).await?;
        match bytes.get(count..) {
            Some(rest) if count > 0 => bytes = rest,
            _ => return Err(io::ErrorKind::WriteZero.into()),
        }
    }
    poll_fn(|context| Pin::new(&mut *stream).poll_flush(context)).await
}

/// Reads so many bytes and no more: what follows is the server's.
async fn read<const N: usize>(stream: &mut Box<dyn Stream>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut left = &mut bytes[..];
    while !left.is_empty() {
        let count = poll_fn(|context| {
            let mut buffer = ReadBuf::new(left);
            ready!(Pin::new(&mut *stream).poll_read(context, buffer.unfilled()))?;
            Poll::Ready(io::Result::Ok(buffer.filled().len()))
        })
        .await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = left.get_mut(count..).unwrap_or_default();
    }
    Ok(bytes)
}
