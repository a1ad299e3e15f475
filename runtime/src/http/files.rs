//! The browser's client, served from a directory: `/socket.io/socket.io.js` and its relatives.

use crate::http::convert::ResponseBody;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;

/// The files of a client, read once and kept.
#[derive(Default)]
pub(crate) struct Files(BTreeMap<String, File>);

struct File {
    body: Bytes,
    kind: &'static str,
    etag: HeaderValue,
}

impl Files {
    /// Reads the scripts and maps of a directory such as `node_modules/socket.io-client/dist`.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let kind = match name.rsplit_once('.') {
                Some((_, "js" | "mjs")) => "application/javascript; charset=utf-8",
                Some((_, "map")) => "application/json; charset=utf-8",
                _ => continue,
            };
            let body = std::fs::read(&path)?;
            let mut hasher = DefaultHasher::new();
            body.hash(&mut hasher);
            let etag = HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish()))
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            files.insert(name.to_owned(), File { body: body.into(), kind, etag });
        }
        if !files.contains_key("socket.io.js") {
            let message = format!("{} holds no socket.io.js", directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(Self(files))
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
        headers.insert(ETAG, file.etag.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.kind));
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else if request.method == Method::GET {
            *response.body_mut() = Full::new(file.body.clone());
        }
        Some(response)
    }
}
