//! Requests' bodies, as Mailpit's clients write them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::http::connection::Response;
use crate::web::answers::bad;

/// A body in JSON; what is not there has its defaults.
pub fn body<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Response> {
    let octets = if octets.trim_ascii().is_empty() { b"{}" } else { octets };
    let value: Value = serde_json::from_slice(octets).map_err(|e| bad(format!("not JSON: {e}")))?;
    // An array of the fields' values would be taken as well.
    if !value.is_object() {
        return Err(bad("expected an object"));
    }
    serde_path_to_error::deserialize(value).map_err(|e| match e.path().iter().len() {
        0 => bad(e.inner().to_string()),
        _ => bad(format!("{}: {}", e.path(), e.inner())),
    })
}

/// A field that may be null, as Go writes a list without elements.
pub fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}
