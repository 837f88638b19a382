//! Tables and properties of the rules.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn peer(uid: u32, gid: u32, groups: &[u32]) -> Peer {
    Peer { uid, gid, pid: 1, groups: groups.to_vec() }
}

#[test]
fn globs_match_whole_names() {
    for (glob, name, want) in [
        ("*", "", true),
        ("*", "anything", true),
        ("hits", "hits", true),
        ("hits", "hits2", false),
        ("hit?", "hits", true),
        ("hit?", "hit", false),
        ("a*c", "abcabc", true),
        ("a*c", "abcab", false),
        ("*.o:*", "filter.o:3", true),
        ("*a*b*", "xxaxxbxx", true),
        ("*a*b*", "xxbxxaxx", false),
        ("**", "x", true),
        ("[ab]", "a", false),
        ("", "", true),
        ("", "a", false),
    ] {
        assert_eq!(matches(glob.as_bytes(), name.as_bytes()), want, "{glob} {name}");
    }
}

/// What the glob means, said anew at each star.
fn plain_match(glob: &[u8], name: &[u8]) -> bool {
    match (glob.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', glob)), _) => (0..=name.len()).any(|at| plain_match(glob, &name[at..])),
        (Some((b'?', glob)), Some((_, name))) => plain_match(glob, name),
        (Some((a, glob)), Some((b, name))) => a == b && plain_match(glob, name),
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_glob_matches_what_its_definition_says(
        glob in vec(prop::sample::select(&b"*?ab"[..]), 0..8),
        name in vec(prop::sample::select(&b"ab"[..]), 0..10),
    ) {
        prop_assert_eq!(matches(&glob, &name), plain_match(&glob, &name));
    }

    #[test]
    fn a_rule_is_read_as_it_prints(glob in "[a-z*?:=]{1,8}", id: u32, user: bool, bits in 1u8..32) {
        let whom = if user { Whom::User(id) } else { Whom::Group(id) };
        let rule = Rule { glob: glob.into_bytes(), whom, rights: Rights(bits) };
        prop_assert_eq!(Rule::parse(rule.to_string().as_bytes()), Ok(rule));
    }
}

#[test]
fn what_is_no_rule_is_refused_with_its_reason() {
    const FORM: &str = "not of the form GLOB:uid=N:RIGHTS or GLOB:gid=N:RIGHTS";
    for (text, want) in [
        ("", FORM),
        ("hits:uid=1", FORM),
        (":uid=1:read", "an empty glob matches nothing"),
        ("a:user=1:read", "\"user=1\": not uid=N or gid=N, N a number"),
        ("a:uid=root:read", "\"uid=root\": not uid=N or gid=N, N a number"),
        ("a:uid=-1:read", "\"uid=-1\": not uid=N or gid=N, N a number"),
        ("a:uid=+1:read", "\"uid=+1\": not uid=N or gid=N, N a number"),
        ("a:uid=:read", "\"uid=\": not uid=N or gid=N, N a number"),
        ("a:uid=4294967296:read", "\"uid=4294967296\": not uid=N or gid=N, N a number"),
        ("a:uid=1:", "\"\": not one of list, read, write, put, remove, all"),
        ("a:uid=1:read,", "\"\": not one of list, read, write, put, remove, all"),
        ("a:uid=1:Read", "\"Read\": not one of list, read, write, put, remove, all"),
    ] {
        assert_eq!(Rule::parse(text.as_bytes()).unwrap_err(), want, "{text}");
    }
    let file = b"# who may read\n\n*:uid=1:read\n  b:gid=2:all  \nc:uid=3\n";
    assert_eq!(parse_file(file).unwrap_err(), format!("line 5: {FORM}"));
    assert_eq!(parse_file(&file[..file.len() - 8]).unwrap().len(), 2);
}

#[test]
fn rights_of_all_matching_rules_add_up_and_nobody_else_has_any() {
    let rules =
        ["hits*:uid=1000:list,read", "*:gid=50:list", "hits:uid=1000:write", "x:gid=50:put"];
    let rules = rules.map(|rule| Rule::parse(rule.as_bytes()).unwrap());
    let access = Access::new(7, rules.to_vec());
    for (peer, name, want) in [
        (peer(0, 0, &[]), "hits", "list,read,write,put,remove"),
        (peer(7, 1, &[]), "x", "list,read,write,put,remove"),
        (peer(1000, 1, &[]), "hits", "list,read,write"),
        (peer(1000, 1, &[]), "hits2", "list,read"),
        (peer(1000, 1, &[]), "x", ""),
        (peer(5, 50, &[]), "x", "list,put"),
        (peer(5, 6, &[4, 50]), "x", "list,put"),
        (peer(5, 6, &[4]), "x", ""),
        // A user's number is not a group's.
        (peer(50, 1, &[1000]), "hits", ""),
    ] {
        assert_eq!(
            access.granted(&peer, name.as_bytes()).rights.to_string(),
            want,
            "{peer:?} {name}"
        );
    }
}

#[test]
fn a_refusal_names_the_rules_that_fall_short() {
    let rule = |text: &str| Rule::parse(text.as_bytes()).unwrap();
    let access = Access::new(0, vec![rule("h*:uid=5:list"), rule("*s:uid=5:read")]);
    let refusal = |uid, name: &[u8]| {
        let peer = peer(uid, 9, &[]);
        access.granted(&peer, name).refusal(&peer, Rights::PUT, name)
    };
    let want = "put of \"hits\": not allowed by rule h*:uid=5:list and rule *s:uid=5:read";
    assert_eq!(refusal(5, b"hits"), want);
    assert_eq!(refusal(6, b"hits"), "put of \"hits\": no rule for uid 6 matches");
    assert_eq!(refusal(5, b"q\n"), "put of \"q\\n\": no rule for uid 5 matches");
}
