//! The bare axum server that the product's routes are held against: no middleware, no state, one
//! handler that sends bytes it has. It runs as a process of its own, as the product does.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::routing::get;

use crate::load::Raw;

/// The argument that makes a benchmark's own program the reference.
pub const ARGUMENT: &str = "--reference";

/// Serves each file of `folder` (see [`write_answer`]) under its path, until killed.
pub fn serve(port: u16, folder: &Path) -> Result<()> {
    let mut router = Router::new();
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .context("a file's name")?;
        let path = name.replace('+', "/");
        let (headers, body) = read_answer(&file)?;
        router = router.route(
            &path,
            get(move || {
                let answer = (headers.clone(), body.clone());
                async move { answer }
            }),
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = tokio::net::TcpListener::bind(address).await?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}

/// Keeps an answer of the product for the reference to send: the same headers, the same body.
pub fn write_answer(folder: &Path, path: &str, answer: &Raw) -> Result<()> {
    let mut bytes = Vec::new();
    for (name, value) in &answer.headers {
        // hyper adds these itself, to both.
        if !matches!(name.as_str(), "content-length" | "date" | "connection") {
            bytes.extend_from_slice(format!("{name}: {value}\n").as_bytes());
        }
    }
    bytes.push(b'\n');
    bytes.extend_from_slice(&answer.body);
    std::fs::write(folder.join(path.replace('/', "+")), bytes)?;
    Ok(())
}

fn read_answer(file: &Path) -> Result<(HeaderMap, Bytes)> {
    let bytes = std::fs::read(file)?;
    let end = bytes
        .windows(2)
        .position(|two| two == b"\n\n")
        .map_or(0, |at| at + 2);
    let mut headers = HeaderMap::new();
    for line in std::str::from_utf8(&bytes[..end])?.lines() {
        if let Some((name, value)) = line.split_once(": ") {
            headers.append(
                HeaderName::from_bytes(name.as_bytes())?,
                HeaderValue::from_str(value)?,
            );
        }
    }
    Ok((headers, Bytes::from(bytes).slice(end..)))
}
