//! The browser's client, from a directory or from the bundle in this crate: `/socket.io/socket.io.js` and its relatives.

use crate::base::trace::info;
use crate::http::compression::{Encoding, THRESHOLD};
use crate::http::convert::ResponseBody;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY,
};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// The files of a client, read once and kept.
#[derive(Default)]
pub(crate) struct Files(BTreeMap<String, File>);

struct File {
    body: Bytes,
    kind: &'static str,
    etag: HeaderValue,
    /// For the file in an encoding: not the same bytes, but the same file (RFC 9110, section 8.8.3.3).
    weak_etag: HeaderValue,
    gzip: OnceLock<Option<Bytes>>,
    deflate: OnceLock<Option<Bytes>>,
}

/// The level at which they are compressed, once each.
const LEVEL: u8 = 9;

/// The names under which pages ask for the client.
const NAMES: [&str; 4] =
    ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];

/// The media type of a script.
const SCRIPT: &str = "application/javascript; charset=utf-8";

impl File {
    fn new(body: Bytes, kind: &'static str) -> io::Result<Self> {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        let header = |value: String| {
            HeaderValue::try_from(value).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        };
        let weak_etag = header(format!("W/{tag}"))?;
        let etag = header(tag)?;
        Ok(Self { body, kind, etag, weak_etag, gzip: OnceLock::new(), deflate: OnceLock::new() })
    }

    /// The file in an encoding, made for the first client that wants it. `None` if it would be no smaller.
    fn encoded(&self, encoding: Encoding) -> Option<Bytes> {
        let slot = match encoding {
            Encoding::Gzip => &self.gzip,
            Encoding::Deflate => &self.deflate,
        };
        slot.get_or_init(|| encoding.encode(&self.body, LEVEL)).clone()
    }
}

impl Files {
    /// Reads the scripts and maps of a directory such as `node_modules/socket.io-client/dist`.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let kind = match name.rsplit_once('.') {
                Some((_, "js" | "mjs")) => SCRIPT,
                Some((_, "map")) => "application/json; charset=utf-8",
                _ => continue,
            };
            files.insert(name.to_owned(), File::new(std::fs::read(&path)?.into(), kind)?);
        }
        if !files.contains_key("socket.io.js") {
            let message = format!("{} holds no socket.io.js", directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(Self(files))
    }

    /// The client that is part of this crate: npm's minified files. The name `socket.io.js`, which pages ask for, is one
    /// of those, too.
    #[cfg(feature = "client-bundle")]
    pub(crate) fn bundle() -> io::Result<Self> {
        let script: &[u8] = include_bytes!("../../client-bundle/socket.io.min.js");
        let module: &[u8] = include_bytes!("../../client-bundle/socket.io.esm.min.js");
        let msgpack: &[u8] = include_bytes!("../../client-bundle/socket.io.msgpack.min.js");
        let names = [
            ("socket.io.js", script),
            ("socket.io.min.js", script),
            ("socket.io.esm.min.js", module),
            ("socket.io.msgpack.min.js", msgpack),
        ];
        let file = |(name, body): (&str, &'static [u8])| {
            Ok((name.to_owned(), File::new(Bytes::from_static(body), SCRIPT)?))
        };
        names.into_iter().map(file).collect::<io::Result<_>>().map(Self)
    }

    /// Says in the log why a page does not get the client, if that is what it asked for in vain.
    pub(crate) fn explain_absence(&self, target: &str) {
        let path = target.split('?').next().unwrap_or(target);
        if let Some(name) = NAMES.iter().find(|name| path.rsplit('/').next() == Some(**name)) {
            info!(
                file = name,
                "a page asks for the browser's client, which is not served: `serve_client` of the builder serves it from a \
                 directory, and `serve_client_bundle` (feature `client-bundle`) from the program"
            );
        }
    }

    /// The answer to a request for one of them.
    pub(crate) fn respond(&self, request: &http::request::Parts) -> Option<Response<ResponseBody>> {
        if self.0.is_empty() || !matches!(request.method, Method::GET | Method::HEAD) {
            return None;
        }
        let (_, name) = request.uri.path().rsplit_once('/')?;
        let file = self.0.get(name)?;
        let known = request.headers.get_all(IF_NONE_MATCH).iter().any(|value| {
            let tags = value.to_str().unwrap_or("");
            tags.split(',').any(|tag| tag.trim().trim_start_matches("W/").as_bytes() == file.etag.as_bytes())
        });
        let mut response = Response::new(Full::new(Bytes::new()));
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=0"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.kind));
        headers.insert(VARY, HeaderValue::from(ACCEPT_ENCODING));
        let encoding = Encoding::accepted(&request.headers).filter(|_| file.body.len() >= THRESHOLD);
        let encoded = encoding.and_then(|encoding| Some((encoding, file.encoded(encoding)?)));
        headers.insert(ETAG, if encoded.is_some() { file.weak_etag.clone() } else { file.etag.clone() });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Some(response);
        }
        let body = match encoded {
            Some((encoding, body)) => {
                headers.insert(CONTENT_ENCODING, encoding.header());
                body
            }
            None => file.body.clone(),
        };
        if request.method == Method::GET {
            *response.body_mut() = Full::new(body);
        }
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::{GzDecoder, ZlibDecoder};
    use http::Request;
    use http_body_util::BodyExt as _;
    use std::io::Read;

    fn files(text: &str) -> Files {
        let directory = std::env::temp_dir().join(format!("sansocket-files-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("socket.io.js"), text).expect("a file");
        std::fs::write(directory.join("small.js"), "small").expect("a file");
        let files = Files::read(&directory).expect("files");
        std::fs::remove_dir_all(&directory).expect("its end");
        files
    }

    async fn got(
        files: &Files,
        path: &str,
        accepts: &str,
        tag: Option<&HeaderValue>,
    ) -> (Response<()>, Bytes) {
        let mut request = Request::get(path).header(ACCEPT_ENCODING, accepts);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let (parts, body) = files.respond(&parts).expect("a file").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        (Response::from_parts(parts, ()), body)
    }

    #[cfg(feature = "client-bundle")]
    #[tokio::test]
    async fn the_bundle_is_the_client_that_its_licence_names() {
        let files = Files::bundle().expect("the bundle");
        let licence = include_str!("../../client-bundle/LICENSE");
        for name in ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"] {
            let (whole, body) = got(&files, &format!("/socket.io/{name}"), "identity", None).await;
            assert_eq!(whole.headers().get(CONTENT_TYPE).expect("a type"), SCRIPT);
            let head = std::str::from_utf8(&body[..100]).expect("a comment");
            let version = head.split("Socket.IO v").nth(1).and_then(|rest| rest.lines().next());
            assert!(licence.contains(&format!("socket.io-client {}", version.expect("a version"))), "{head}");
            let (packed, smaller) = got(&files, &format!("/socket.io/{name}"), "gzip", None).await;
            assert_eq!(packed.headers().get(CONTENT_ENCODING).expect("an encoding"), "gzip");
            assert!(smaller.len() < body.len() / 2);
        }
    }

    #[tokio::test]
    async fn files_come_in_the_encoding_that_the_client_takes() {
        let text = "function again() {}".repeat(1000);
        let files = files(&text);
        let path = "/socket.io/socket.io.js";
        let (plain, body) = got(&files, path, "identity", None).await;
        assert_eq!((plain.headers().get(CONTENT_ENCODING), &*body), (None, text.as_bytes()));
        for (accepts, encoding) in [("gzip, deflate, br", "gzip"), ("deflate", "deflate")] {
            let (encoded, body) = got(&files, path, accepts, None).await;
            let headers = encoded.headers();
            assert_eq!(headers.get(CONTENT_ENCODING).expect("an encoding"), encoding);
            assert_eq!(headers.get(VARY).expect("it does"), "accept-encoding");
            assert!(body.len() < text.len() / 10);
            let mut decoded = String::new();
            let read = match encoding {
                "gzip" => GzDecoder::new(&*body).read_to_string(&mut decoded),
                _ => ZlibDecoder::new(&*body).read_to_string(&mut decoded),
            };
            assert!(read.is_ok() && decoded == text);
            // Made once.
            let (_, again) = got(&files, path, accepts, None).await;
            assert_eq!(again.as_ptr(), body.as_ptr());
            // Either tag names the file, whatever its encoding.
            for tag in [headers.get(ETAG), plain.headers().get(ETAG)] {
                let (unchanged, body) = got(&files, path, accepts, tag).await;
                assert_eq!((unchanged.status(), body.len()), (StatusCode::NOT_MODIFIED, 0));
                assert_eq!(unchanged.headers().get(ETAG), headers.get(ETAG));
                assert!(unchanged.headers().contains_key(VARY));
            }
        }
        let (small, body) = got(&files, "/socket.io/small.js", "gzip", None).await;
        assert_eq!((small.headers().get(CONTENT_ENCODING), &*body), (None, &b"small"[..]));
    }
}
