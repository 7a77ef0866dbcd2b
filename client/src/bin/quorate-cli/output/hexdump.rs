//! Hex dumps as `get -x` of zkCli shows them: 16 bytes a row, offsets, and the characters.

use std::fmt::Write;

const HEAD: &str = "         +-------------------------------------------------+
         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |
";
const RULE: &str = "+--------+-------------------------------------------------+----------------+";

/// The dump, without a line feed at its end; nothing for no bytes.
pub(crate) fn hexdump(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    let mut text = format!("{HEAD}{RULE}\n");
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let hex: String = chunk.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, " {byte:02x}").expect("a string takes all");
            hex
        });
        let shown: String = chunk.iter().map(|&byte| shown(byte)).collect();
        writeln!(text, "|{:08x}|{hex:48} |{shown:16}|", row * 16).expect("a string takes all");
    }
    text + RULE
}

fn shown(byte: u8) -> char {
    if matches!(byte, 0x20..0x7f) { char::from(byte) } else { '.' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_zkcli() {
        insta::assert_snapshot!(hexdump(b"hello world, \x00\xff\x1b!x"), @r"
                 +-------------------------------------------------+
                 |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |
        +--------+-------------------------------------------------+----------------+
        |00000000| 68 65 6c 6c 6f 20 77 6f 72 6c 64 2c 20 00 ff 1b |hello world, ...|
        |00000010| 21 78                                           |!x              |
        +--------+-------------------------------------------------+----------------+
        ");
        assert_eq!(hexdump(b""), "");
    }
}
