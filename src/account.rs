//! Users and groups by number or by name, from /etc/passwd and /etc/group alone: the binaries are
//! static, and cannot load the modules of NSS.

use crate::error::Error;
use crate::text::quote;

/// Lines `NAME:PASSWORD:ID:…` (passwd(5), group(5)), and what they describe.
type Accounts = (&'static str, &'static str);
const PASSWD: Accounts = ("/etc/passwd", "user");
const GROUP: Accounts = ("/etc/group", "group");

/// The uid that `text` is, in decimal, or as a user name. The error does not name the option.
pub fn parse_user(text: &[u8]) -> anyhow::Result<u32> {
    parse(PASSWD, text)
}

/// The gid that `text` is, likewise.
pub fn parse_group(text: &[u8]) -> anyhow::Result<u32> {
    parse(GROUP, text)
}

fn parse(file: Accounts, text: &[u8]) -> anyhow::Result<u32> {
    let (path, noun) = file;
    if !text.is_empty() && text.iter().all(u8::is_ascii_digit) {
        return parse_id(text).ok_or_else(|| anyhow::anyhow!("not a {noun} id: out of range"));
    }
    if !is_name(text) {
        anyhow::bail!("not the name or the number of a {noun}");
    }
    let lines = std::fs::read(path).map_err(|e| Error::new(path, "read", e))?;
    find(file, &lines, text).map_err(anyhow::Error::msg)
}

/// The id of `name` in the file's content. The first line of a name wins.
fn find((path, noun): Accounts, lines: &[u8], name: &[u8]) -> Result<u32, String> {
    for (at, line) in lines.split(|&b| b == b'\n').enumerate() {
        let mut fields = line.split(|&b| b == b':');
        if fields.next() == Some(name) {
            let id = fields.nth(1).and_then(parse_id);
            return id.ok_or_else(|| {
                format!("line {} of {path} has no valid {noun} id for {}", at + 1, quote(name))
            });
        }
    }
    Err(format!("no {noun} {} in {path}", quote(name)))
}

/// A decimal id. The greatest number means "unchanged" to chown(2) and setresuid(2).
fn parse_id(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    let digits = Some(digits).filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|id| *id != u32::MAX)
}

/// Whether a line of the file can begin with the name `text`: `+` and `-` refer to NIS, and `#`
/// begins a comment.
fn is_name(text: &[u8]) -> bool {
    let begins_well = text.first().is_some_and(|first| !b"+-#".contains(first));
    begins_well && !text.iter().any(|&b| b == b':' || b.is_ascii_control() || b == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        # alice:x:1:1::/:/bin/sh\n\
        alice:x:1000:1000:A:/home/alice:/bin/sh\n\
        alice:x:2000:2000::/:/bin/sh\n\
        nobody:*:65534:65534::/:\n\
        \n\
        none:x::1::/:\n\
        word:x:abc:1::/:\n\
        sign:x:+5:1::/:\n\
        most:x:4294967295:1::/:\n\
        more:x:4294967296:1::/:\n\
        short:x\n\
        +nis::::::\n\
        last:x:7:7::/:/bin/sh";

    #[test]
    fn first_line_of_a_name_wins() {
        for (name, id) in [("root", 0), ("alice", 1000), ("nobody", 65534), ("last", 7)] {
            assert_eq!(find(PASSWD, LINES, name.as_bytes()), Ok(id), "{name}");
        }
        let unknown = Err("no user \"ali\" in /etc/passwd".into());
        assert_eq!(find(PASSWD, LINES, b"ali"), unknown);
        let (names, lines) = (["none", "word", "sign", "most", "more", "short"], 7..);
        for (name, line) in names.iter().zip(lines) {
            let message = format!("line {line} of /etc/passwd has no valid user id for \"{name}\"");
            assert_eq!(find(PASSWD, LINES, name.as_bytes()), Err(message));
        }
    }

    #[test]
    fn digits_are_a_uid() {
        let parse = |text: &str| parse_user(text.as_bytes()).map_err(|e| e.to_string());
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("0065534"), Ok(65534));
        assert_eq!(parse("4294967294"), Ok(4_294_967_294));
        for text in ["4294967295", "4294967296", "99999999999999999999"] {
            assert_eq!(parse(text), Err("not a user id: out of range".into()), "{text}");
        }
        for text in ["", "-1", "+1", "#x", "a:b", "root\n", "a b", "\0"] {
            let message = "not the name or the number of a user";
            assert_eq!(parse(text), Err(message.into()), "{text:?}");
        }
    }
}
