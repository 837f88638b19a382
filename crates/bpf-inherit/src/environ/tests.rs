use super::*;

fn read(entries: &[&str]) -> (Vec<Claim>, Vec<String>) {
    let Claims { claims, warnings, .. } = claims(entries.iter().map(|e| e.as_bytes()));
    (claims, warnings)
}

fn claim(kind: ObjectKind, index: u32, fd: i32, name: Option<&[u8]>) -> Claim {
    Claim { kind, index, fd, id: None, name: name.map(<[u8]>::to_vec), layout: None }
}

#[test]
fn built_environment_is_read_back() {
    let objects = [
        claim(ObjectKind::Map, 0, 64, Some(b"hits")),
        Claim {
            id: Some(u32::MAX),
            layout: Some(b"u32 -> u64".to_vec()),
            ..claim(ObjectKind::Map, 9, 65, None)
        },
        claim(ObjectKind::Program, 0, 66, Some(b"filter")),
        claim(ObjectKind::Program, 2, 67, None),
        claim(ObjectKind::Link, 0, 68, Some(b"hits")),
    ];
    let stale =
        [c"BPF_MAP3=9", c"BPF_MAP0_ID=5", c"BPF_PROG3=9", c"BPF_NUM_LINKS=7", c"BPF_LINK0_NAME=x"];
    let others = [c"HOME=/", c"odd", c"BPF_PROG3_LAYOUT=u8 -> u8", c"BPF_MAPS=1"];
    let before = [&others[..2], &stale, &others[2..]].concat();
    let env = build(before.into_iter().map(CString::from).collect(), &objects);
    assert_eq!(env[..4], others.map(CString::from));
    assert_eq!(env.len(), 4 + 3 + 5 + 3 + 2); // counts, numbers, names, an id, a layout
    let Claims { claims: read, warnings, .. } = claims(env.iter().map(|e| e.as_bytes()));
    assert_eq!(read, objects);
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn programs_and_links_are_counted_only_if_present() {
    let stale = || vec![c"BPF_NUM_PROGS=1".into(), c"BPF_PROG0=5".into()];
    assert_eq!(build(stale(), &[]), [c"BPF_NUM_MAPS=0".to_owned()]);
    let link = claim(ObjectKind::Link, 1, 64, None);
    let want = [c"BPF_NUM_MAPS=0", c"BPF_NUM_LINKS=1", c"BPF_LINK1=64"];
    assert_eq!(build(stale(), &[link]), want.map(CString::from));
}

#[test]
fn count_or_descriptor_declares_a_scope() {
    for (entries, want) in [
        (&[][..], Scope::Undeclared),
        (&["BPF_MAP0_NAME=stale", "BPF_MAP0_ID=1"], Scope::Undeclared),
        (&["BPF_NUM_MAPS=0"], Scope::Empty),
        (&["BPF_NUM_LINKS=0", "BPF_NUM_PROGS=0"], Scope::Empty),
        (&["BPF_NUM_MAPS=1"], Scope::Objects),
        (&["BPF_NUM_MAPS=x"], Scope::Objects),
        (&["BPF_NUM_PROGS=1", "BPF_NUM_MAPS=0"], Scope::Objects),
        (&["BPF_MAP0=x"], Scope::Objects),
        (&["BPF_PROG0=5"], Scope::Objects),
        (&["BPF_LINK00=5"], Scope::Objects),
    ] {
        let entries = entries.iter().map(|entry: &&str| entry.as_bytes());
        assert_eq!(claims(entries.clone()).scope, want, "{:?}", entries.collect::<Vec<_>>());
    }
}

#[test]
fn malformed_variables_warn() {
    for (entries, found, warning) in [
        (&["BPF_NUM_MAPS=0"][..], 0, None),
        (&["BPF_MAP9=64"], 1, Some("BPF_NUM_MAPS is not set (found 1 map)")),
        (&["BPF_NUM_MAPS=abc"], 0, Some("BPF_NUM_MAPS: \"abc\" is not a number")),
        (&["BPF_NUM_MAPS=3", "BPF_MAP0=5"], 1, Some("BPF_NUM_MAPS is 3 (found 1 map)")),
        (
            &["BPF_NUM_MAPS=0", "BPF_MAP1=x"],
            0,
            Some("BPF_MAP1: \"x\" is not a descriptor number, dropped"),
        ),
        (
            &["BPF_NUM_MAPS=0", "BPF_MAP1=-1"],
            0,
            Some("BPF_MAP1: \"-1\" is not a descriptor number, dropped"),
        ),
        (&["BPF_NUM_MAPS=0", "BPF_MAP01=5"], 0, Some("BPF_MAP01: not a number for a map, dropped")),
        (
            &["BPF_NUM_MAPS=0", "BPF_MAP4294967296=5"],
            0,
            Some("BPF_MAP4294967296: not a number for a map, dropped"),
        ),
        (
            &["BPF_NUM_MAPS=1", "BPF_MAP0=5", "BPF_MAP0=6"],
            1,
            Some("BPF_MAP0: set more than once, the first one is used"),
        ),
        (&["BPF_MAP7_NAME=stale", "BPF_MAP7_ID=x"], 0, None),
        (
            &["BPF_NUM_MAPS=0", "BPF_MAP1=5", "BPF_MAP1_ID=-1"],
            0,
            Some("BPF_MAP1_ID: \"-1\" is not an id, BPF_MAP1 is dropped"),
        ),
        (
            &["BPF_NUM_LINKS=0", "BPF_LINK1=5", "BPF_LINK1_ID="],
            0,
            Some("BPF_LINK1_ID: \"\" is not an id, BPF_LINK1 is dropped"),
        ),
        (&["BPF_NUM_PROGS=0", "BPF_NUM_LINKS=0", "BPF_PROG7_NAME=stale"], 0, None),
        (&["BPF_PROG9=64"], 1, Some("BPF_NUM_PROGS is not set (found 1 program)")),
        (&["BPF_NUM_LINKS=2"], 0, Some("BPF_NUM_LINKS is 2 (found 0 links)")),
        // A number of each kind.
        (&["BPF_NUM_MAPS=1", "BPF_MAP0=5", "BPF_NUM_PROGS=1", "BPF_PROG0=6"], 2, None),
        (&["BPF_PROG0=x"], 0, Some("BPF_PROG0: \"x\" is not a descriptor number, dropped")),
        (&["BPF_LINK01=5"], 0, Some("BPF_LINK01: not a number for a link, dropped")),
    ] {
        let (claims, warnings) = read(entries);
        assert_eq!(claims.len(), found, "{entries:?}");
        assert_eq!(warnings, warning.into_iter().collect::<Vec<_>>(), "{entries:?}");
    }
}

#[test]
fn layout_over_the_limit_is_omitted() {
    let map = |n| Claim { layout: Some(vec![b'x'; n]), ..Claim::default() };
    assert_eq!(build(vec![], &[map(MAX_LAYOUT)]).len(), 3);
    assert_eq!(build(vec![], &[map(MAX_LAYOUT + 1)]).len(), 2);
}
