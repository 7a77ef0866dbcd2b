//! A node's data in documents.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// Data as it is written in JSON and YAML: `data` if it is text, `data_base64` if it is not, and
/// null for null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum DataView {
    /// Other bytes. Read first: where `data` may be null it may be missing.
    Binary { data_base64: String },
    /// Text.
    Text { data: Option<String> },
}

impl DataView {
    /// Data of a node; `None` is null.
    pub(crate) fn new(data: Option<&[u8]>) -> Self {
        match data.map(str::from_utf8) {
            None => Self::Text { data: None },
            Some(Ok(text)) => Self::Text { data: Some(text.to_owned()) },
            Some(Err(_)) => Self::Binary { data_base64: STANDARD.encode(data.unwrap_or_default()) },
        }
    }

    /// The bytes; `None` is null.
    pub(crate) fn bytes(&self) -> Result<Option<Vec<u8>>, base64::DecodeError> {
        match self {
            Self::Text { data } => Ok(data.as_ref().map(|text| text.clone().into_bytes())),
            Self::Binary { data_base64 } => STANDARD.decode(data_base64).map(Some),
        }
    }
}

impl From<&quorate_client::Node> for DataView {
    fn from(node: &quorate_client::Node) -> Self {
        Self::new((!node.is_null).then_some(&*node.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_data_survives() {
        for data in [None, Some(&b""[..]), Some(b"text\n"), Some(b"\x00\xff\xfe")] {
            let view = DataView::new(data);
            let json = serde_json::to_string(&view).unwrap();
            let back: DataView = serde_json::from_str(&json).unwrap();
            assert_eq!(back.bytes().unwrap().as_deref(), data, "{json}");
        }
    }
}
