//! JSON whose strings hold nothing that a terminal obeys.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use super::escape::is_unsafe;

/// On one line.
pub(crate) fn compact(document: &impl Serialize) -> io::Result<String> {
    written(document, CompactFormatter)
}

/// On many.
pub(crate) fn pretty(document: &impl Serialize) -> io::Result<String> {
    written(document, PrettyFormatter::new())
}

fn written(document: &impl Serialize, formatter: impl Formatter) -> io::Result<String> {
    let mut out = Vec::new();
    document.serialize(&mut Serializer::with_formatter(&mut out, Safe(formatter)))?;
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

/// Another formatter, with further characters of strings escaped. JSON itself escapes only the
/// control characters of ASCII.
struct Safe<F>(F);

macro_rules! as_the_other {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $name<W: ?Sized + io::Write>(&mut self, out: &mut W $(, $argument: $type)*) -> io::Result<()> {
            self.0.$name(out $(, $argument)*)
        }
    )*};
}

impl<F: Formatter> Formatter for Safe<F> {
    as_the_other! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_unsafe(c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_safe_and_read_back() {
        let text = "a\x1b[0m\u{9b}\u{7f}\u{202e}é\n\"";
        let json = compact(&text).unwrap();
        assert_eq!(json, r#""a\u001b[0m\u009b\u007f\u202eé\n\"""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        assert_eq!(pretty(&[1]).unwrap(), "[\n  1\n]");
    }
}
