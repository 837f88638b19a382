//! Tables and properties of the rules.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn rules_are_parsed_as_printed(glob in "[a-z*?:=]{1,8}", id: u32, user: bool, bits in 1u8..32) {
        let subject = if user { RuleSubject::User(id) } else { RuleSubject::Group(id) };
        let rule = Rule { glob: glob.into_bytes(), subject, permissions: PermissionSet(bits) };
        prop_assert_eq!(Rule::parse(rule.to_string().as_bytes()), Ok(rule));
    }
}

#[test]
fn malformed_rules_are_refused_with_a_reason() {
    const FORM: &str = "not of the form GLOB:uid=N:PERMISSIONS or GLOB:gid=N:PERMISSIONS";
    for (text, want) in [
        ("", FORM),
        ("hits:uid=1", FORM),
        (":uid=1:read", "an empty glob matches nothing"),
        ("a:user=1:read", "\"user=1\": not uid=N or gid=N with a number N"),
        ("a:uid=root:read", "\"uid=root\": not uid=N or gid=N with a number N"),
        ("a:uid=-1:read", "\"uid=-1\": not uid=N or gid=N with a number N"),
        ("a:uid=+1:read", "\"uid=+1\": not uid=N or gid=N with a number N"),
        ("a:uid=:read", "\"uid=\": not uid=N or gid=N with a number N"),
        ("a:uid=4294967296:read", "\"uid=4294967296\": not uid=N or gid=N with a number N"),
        ("a:uid=1:", "\"\": not one of list, read, write, put, remove, all"),
        ("a:uid=1:read,", "\"\": not one of list, read, write, put, remove, all"),
        ("a:uid=1:Read", "\"Read\": not one of list, read, write, put, remove, all"),
    ] {
        assert_eq!(Rule::parse(text.as_bytes()).unwrap_err(), want, "{text}");
    }
    let file = b"# who may read\n\n*:uid=1:read\n  b:gid=2:all  \nc:uid=3\n";
    let errors: Vec<_> = parse_file(file).filter_map(Result::err).collect();
    assert_eq!((parse_file(file).count(), errors), (3, vec![format!("line 5: {FORM}")]));
}

#[test]
fn permissions_of_all_matching_rules_add_up() {
    let rules =
        ["hits*:uid=1000:list,read", "*:gid=50:list", "hits:uid=1000:write", "x:gid=50:put"];
    let rules = rules.map(|rule| Rule::parse(rule.as_bytes()).unwrap());
    let policy = Policy::new(7, rules.to_vec());
    assert_eq!([0, 7, 8].map(|uid| policy.is_trusted(uid)), [true, true, false]);
    for (uid, gid, groups, name, want) in [
        (1000, 1, &[][..], "hits", "list,read,write"),
        (1000, 1, &[], "hits2", "list,read"),
        (1000, 1, &[], "x", ""),
        (5, 50, &[], "x", "list,put"),
        (5, 6, &[4, 50], "x", "list,put"),
        (5, 6, &[4], "x", ""),
        // The number of a user is not that of a group.
        (50, 1, &[1000], "hits", ""),
    ] {
        let rules = policy.rules_for(uid, gid, groups);
        let granted = Granted::by(&rules, name.as_bytes()).permissions.to_string();
        assert_eq!(granted, want, "{uid} {gid} {groups:?} {name}");
    }
}

#[test]
fn refusals_name_the_rules_that_lack_a_permission() {
    let rule = |text: &str| Rule::parse(text.as_bytes()).unwrap();
    let policy = Policy::new(0, vec![rule("h*:uid=5:list"), rule("*s:uid=5:read")]);
    let refusal = |uid, name: &[u8]| {
        Granted::by(&policy.rules_for(uid, 9, &[]), name).refusal(uid, PermissionSet::PUT, name)
    };
    let want = "put of \"hits\": not allowed by rule h*:uid=5:list and rule *s:uid=5:read";
    assert_eq!(refusal(5, b"hits"), want);
    assert_eq!(refusal(6, b"hits"), "put of \"hits\": no rule for uid 6 matches");
    assert_eq!(refusal(5, b"q\n\""), "put of \"q\\n\\\"\": no rule for uid 5 matches");
}
