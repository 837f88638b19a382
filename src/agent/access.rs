//! Who may do what to which names. Pure.

use crate::text::{escape, quote};
use crate::wire::agent::Mode;
use std::fmt;

/// What a rule can allow, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    pub const NONE: Rights = Rights(0);
    pub const LIST: Rights = Rights(1);
    pub const READ: Rights = Rights(2);
    pub const WRITE: Rights = Rights(4);
    pub const PUT: Rights = Rights(8);
    pub const REMOVE: Rights = Rights(16);
    pub const ALL: Rights = Rights(31);

    const WORDS: [(&'static str, Rights); 5] = [
        ("list", Rights::LIST),
        ("read", Rights::READ),
        ("write", Rights::WRITE),
        ("put", Rights::PUT),
        ("remove", Rights::REMOVE),
    ];

    pub fn or(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub fn has(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// The access to a map's elements that it allows.
    pub fn mode(self) -> Mode {
        let read = if self.has(Rights::READ) { Mode::READ } else { Mode::NONE };
        let write = if self.has(Rights::WRITE) { Mode::WRITE } else { Mode::NONE };
        read.or(write)
    }

    fn parse(text: &[u8]) -> Result<Rights, String> {
        let mut rights = Rights::NONE;
        for word in text.split(|&b| b == b',') {
            let known = Rights::WORDS.iter().find(|(name, _)| name.as_bytes() == word);
            rights = rights.or(match known {
                Some((_, right)) => *right,
                None if word == b"all" => Rights::ALL,
                None => {
                    let word = quote(word);
                    return Err(format!("{word}: not one of list, read, write, put, remove, all"));
                }
            });
        }
        Ok(rights)
    }
}

impl fmt::Display for Rights {
    /// The words of a rule: `list,read`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let words = Rights::WORDS.iter().filter(|(_, right)| self.has(*right));
        f.write_str(&words.map(|(name, _)| *name).collect::<Vec<_>>().join(","))
    }
}

/// Who asks, as the kernel tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    pub gid: u32,
    /// 0 where it is not in a pid namespace that can be seen from here.
    pub pid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "uid {} gid {} pid {}", self.uid, self.gid, self.pid)
    }
}

/// Whom a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    User(u32),
    /// As the primary group, or one of the others.
    Group(u32),
}

/// `GLOB:uid=N:RIGHTS` or `GLOB:gid=N:RIGHTS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    glob: Vec<u8>,
    whom: Whom,
    rights: Rights,
}

impl Rule {
    /// Parses a rule from the right, because a glob may contain colons.
    pub fn parse(text: &[u8]) -> Result<Rule, String> {
        let mut parts = text.rsplitn(3, |&b| b == b':');
        let (Some(rights), Some(whom), Some(glob)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("not of the form GLOB:uid=N:RIGHTS or GLOB:gid=N:RIGHTS".into());
        };
        if glob.is_empty() {
            return Err("an empty glob matches nothing".into());
        }
        let whom = parse_whom(whom)
            .ok_or_else(|| format!("{}: not uid=N or gid=N, N a number", quote(whom)))?;
        Ok(Rule { glob: glob.to_vec(), whom, rights: Rights::parse(rights)? })
    }

    fn is_about(&self, peer: &Peer) -> bool {
        match self.whom {
            Whom::User(uid) => peer.uid == uid,
            Whom::Group(gid) => peer.gid == gid || peer.groups.contains(&gid),
        }
    }
}

fn parse_whom(text: &[u8]) -> Option<Whom> {
    let (class, number) = std::str::from_utf8(text).ok()?.split_once('=')?;
    let number = Some(number).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let number = number.parse().ok()?;
    match class {
        "uid" => Some(Whom::User(number)),
        "gid" => Some(Whom::Group(number)),
        _ => None,
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let whom = match self.whom {
            Whom::User(uid) => format!("uid={uid}"),
            Whom::Group(gid) => format!("gid={gid}"),
        };
        write!(f, "{}:{whom}:{}", escape(&self.glob), self.rights)
    }
}

/// Reads a file of rules: one a line; empty lines and those that begin with `#` are passed
/// over. The error names the line.
pub fn parse_file(text: &[u8]) -> Result<Vec<Rule>, String> {
    let lines = text.split(|&b| b == b'\n').map(|line| line.trim_ascii()).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && line[0] != b'#');
    let parse = |(at, line)| Rule::parse(line).map_err(|e| format!("line {}: {e}", at + 1));
    lines.map(parse).collect()
}

/// Whether `name` is what `glob` describes: `*` stands for any bytes, `?` for one.
///
/// Takes time in proportion to the product of both lengths at most: of all stars only the
/// last one met is ever gone back to.
pub fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    // Where the last star was, and how far what it stands for reaches.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(&b) if b == b'?' || b == name[n] => {
                g += 1;
                n += 1;
            }
            _ => {
                let Some((at, reach)) = star else { return false };
                star = Some((at, reach + 1));
                g = at + 1;
                n = reach + 1;
            }
        }
    }
    glob[g..].iter().all(|&b| b == b'*')
}

/// Rules that a message names: there may be as many as a file holds.
const MAX_TOLD: usize = 4;

/// All rules that are in force.
#[derive(Debug, Default)]
pub struct Access {
    /// The agent's own, who may do all, as root may.
    own: u32,
    rules: Vec<Rule>,
}

/// What a peer may do to a name, and by which rules.
#[derive(Debug)]
pub struct Granted<'a> {
    pub rights: Rights,
    rules: Vec<&'a Rule>,
    /// It is root, or the agent's own user.
    always: bool,
}

impl Access {
    pub fn new(own: u32, rules: Vec<Rule>) -> Access {
        Access { own, rules }
    }

    /// Root and the agent's own user, whom no rule restricts.
    pub fn is_trusted(&self, peer: &Peer) -> bool {
        peer.uid == 0 || peer.uid == self.own
    }

    pub fn granted(&self, peer: &Peer, name: &[u8]) -> Granted<'_> {
        if self.is_trusted(peer) {
            return Granted { rights: Rights::ALL, rules: Vec::new(), always: true };
        }
        let fit = |rule: &&Rule| rule.is_about(peer) && matches(&rule.glob, name);
        let rules: Vec<&Rule> = self.rules.iter().filter(fit).collect();
        let rights = rules.iter().fold(Rights::NONE, |all, rule| all.or(rule.rights));
        Granted { rights, rules, always: false }
    }
}

impl Granted<'_> {
    /// Why `missing` is refused: which rule falls short, or that there is none.
    pub fn refusal(&self, peer: &Peer, missing: Rights, name: &[u8]) -> String {
        let name = quote(name);
        match &self.rules[..] {
            [] => format!("{missing} of {name}: no rule for uid {} matches", peer.uid),
            _ => format!("{missing} of {name}: not allowed by {self}"),
        }
    }
}

impl fmt::Display for Granted<'_> {
    /// `rule GLOB:uid=N:RIGHTS`, of which there may be several.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let first = self.rules.iter().take(MAX_TOLD);
        let rules: Vec<String> = first.map(|rule| format!("rule {rule}")).collect();
        f.write_str(if self.always { "the default rule" } else { "" })?;
        f.write_str(&rules.join(" and "))?;
        match self.rules.len().saturating_sub(MAX_TOLD) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests;
