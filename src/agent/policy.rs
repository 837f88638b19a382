//! The policy: which peers may do what to which names. Pure.

use crate::glob::matches;
use crate::text::{escape, quote, quoted};
use crate::wire::agent::Access;
use std::fmt;
use std::rc::Rc;

/// The permissions that a rule can give, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PermissionSet(u8);

impl PermissionSet {
    pub const NONE: PermissionSet = PermissionSet(0);
    pub const LIST: PermissionSet = PermissionSet(1);
    pub const READ: PermissionSet = PermissionSet(2);
    pub const WRITE: PermissionSet = PermissionSet(4);
    pub const PUT: PermissionSet = PermissionSet(8);
    pub const REMOVE: PermissionSet = PermissionSet(16);
    pub const ALL: PermissionSet = PermissionSet(31);

    const WORDS: [(&'static str, PermissionSet); 5] = [
        ("list", PermissionSet::LIST),
        ("read", PermissionSet::READ),
        ("write", PermissionSet::WRITE),
        ("put", PermissionSet::PUT),
        ("remove", PermissionSet::REMOVE),
    ];

    pub fn or(self, other: PermissionSet) -> PermissionSet {
        PermissionSet(self.0 | other.0)
    }

    /// Whether all of `other` are included.
    pub fn has(self, other: PermissionSet) -> bool {
        self.0 & other.0 == other.0
    }

    /// The access to the entries of a map that they allow.
    pub fn access(self) -> Access {
        let read = if self.has(PermissionSet::READ) { Access::READ } else { Access::NONE };
        let write = if self.has(PermissionSet::WRITE) { Access::WRITE } else { Access::NONE };
        read.or(write)
    }

    fn parse(text: &[u8]) -> Result<PermissionSet, String> {
        let mut permissions = PermissionSet::NONE;
        for word in text.split(|&b| b == b',') {
            let known = PermissionSet::WORDS.iter().find(|(name, _)| name.as_bytes() == word);
            permissions = permissions.or(match known {
                Some((_, permission)) => *permission,
                None if word == b"all" => PermissionSet::ALL,
                None => {
                    let word = quote(word);
                    return Err(format!("{word}: not one of list, read, write, put, remove, all"));
                }
            });
        }
        Ok(permissions)
    }
}

impl fmt::Display for PermissionSet {
    /// The words of a rule: `list,read`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let words = PermissionSet::WORDS.iter().filter(|(_, permission)| self.has(*permission));
        f.write_str(&words.map(|(name, _)| *name).collect::<Vec<_>>().join(","))
    }
}

/// The peers to which a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuleSubject {
    User(u32),
    /// Peers with this primary or supplementary group.
    Group(u32),
}

/// `GLOB:uid=N:PERMISSIONS` or `GLOB:gid=N:PERMISSIONS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    glob: Vec<u8>,
    subject: RuleSubject,
    permissions: PermissionSet,
}

impl Rule {
    /// Parses a rule from the right, because a glob may contain colons.
    pub fn parse(text: &[u8]) -> Result<Rule, String> {
        let mut parts = text.rsplitn(3, |&b| b == b':');
        let (Some(permissions), Some(subject), Some(glob)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err("not of the form GLOB:uid=N:PERMISSIONS or GLOB:gid=N:PERMISSIONS".into());
        };
        if glob.is_empty() {
            return Err("an empty glob matches nothing".into());
        }
        let subject = parse_subject(subject)
            .ok_or_else(|| format!("{}: not uid=N or gid=N with a number N", quote(subject)))?;
        Ok(Rule { glob: glob.to_vec(), subject, permissions: PermissionSet::parse(permissions)? })
    }
}

fn parse_subject(text: &[u8]) -> Option<RuleSubject> {
    let (kind, number) = std::str::from_utf8(text).ok()?.split_once('=')?;
    let number = Some(number).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let number = number.parse().ok()?;
    match kind {
        "uid" => Some(RuleSubject::User(number)),
        "gid" => Some(RuleSubject::Group(number)),
        _ => None,
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let subject = match self.subject {
            RuleSubject::User(uid) => format!("uid={uid}"),
            RuleSubject::Group(gid) => format!("gid={gid}"),
        };
        write!(f, "{}:{subject}:{}", escape(&self.glob), self.permissions)
    }
}

/// Parses a file of rules, one per line. Empty lines, and lines that begin with `#`, are skipped.
/// Each result that is an error names the line.
pub fn parse_file(text: &[u8]) -> impl Iterator<Item = Result<Rule, String>> {
    let lines = text.split(|&b| b == b'\n').map(|line| line.trim_ascii()).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && line[0] != b'#');
    lines.map(|(at, line)| Rule::parse(line).map_err(|e| format!("line {}: {e}", at + 1)))
}

/// All rules that are in force.
#[derive(Debug, Default)]
pub struct Policy {
    /// The user of the agent itself, which may do everything, as root may.
    own: u32,
    rules: Vec<Rc<Rule>>,
}

impl Policy {
    pub fn new(own: u32, rules: Vec<Rule>) -> Policy {
        Policy { own, rules: rules.into_iter().map(Rc::new).collect() }
    }

    /// Whether no rule restricts a user: root, and the user of the agent itself.
    pub fn is_trusted(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own
    }

    /// Whether a supplementary group can matter.
    pub fn has_groups(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.subject, RuleSubject::Group(_)))
    }

    /// The rules that apply to a user with this primary group and these supplementary groups, which
    /// are sorted.
    pub fn rules_for(&self, uid: u32, gid: u32, groups: &[u32]) -> Vec<Rc<Rule>> {
        let applies = |rule: &&Rc<Rule>| match rule.subject {
            RuleSubject::User(user) => user == uid,
            RuleSubject::Group(group) => group == gid || groups.binary_search(&group).is_ok(),
        };
        self.rules.iter().filter(applies).cloned().collect()
    }
}

/// Rules that a message contains at most: a file may have many more.
const MAX_SHOWN: usize = 4;

/// The permissions of a peer on a name, and the rules that give them.
#[derive(Debug)]
pub struct Granted<'a> {
    pub permissions: PermissionSet,
    rules: Vec<&'a Rule>,
    is_trusted: bool,
}

impl<'a> Granted<'a> {
    /// Everything, for a trusted peer.
    pub fn all() -> Granted<'a> {
        Granted { permissions: PermissionSet::ALL, rules: Vec::new(), is_trusted: true }
    }

    /// The permissions that those of `rules` give whose glob matches `name`.
    pub fn by(rules: &'a [Rc<Rule>], name: &[u8]) -> Granted<'a> {
        let rules = rules.iter().map(Rc::as_ref);
        let rules: Vec<&Rule> = rules.filter(|rule| matches(&rule.glob, name)).collect();
        let permissions =
            rules.iter().fold(PermissionSet::NONE, |all, rule| all.or(rule.permissions));
        Granted { permissions, rules, is_trusted: false }
    }

    /// The reason for a refusal: the rules that lack `missing`, or that there is none.
    pub fn refusal(&self, uid: u32, missing: PermissionSet, name: &[u8]) -> String {
        let name = quoted(name);
        match &self.rules[..] {
            [] => format!("{missing} of {name}: no rule for uid {uid} matches"),
            _ => format!("{missing} of {name}: not allowed by {self}"),
        }
    }
}

impl fmt::Display for Granted<'_> {
    /// `rule GLOB:uid=N:PERMISSIONS and rule …`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let first = self.rules.iter().take(MAX_SHOWN);
        let rules: Vec<String> = first.map(|rule| format!("rule {rule}")).collect();
        f.write_str(if self.is_trusted { "the default rule" } else { "" })?;
        f.write_str(&rules.join(" and "))?;
        match self.rules.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests;
