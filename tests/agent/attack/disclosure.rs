//! A peer that may put, but not list, learns only whether a name is taken.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::*;
use std::os::fd::AsFd;

#[test]
fn put_without_list_reveals_only_that_a_name_is_taken() {
    let lab = Lab::new();
    let (_agent, path) = serve_all(&lab, &[], &["*:uid=1002:put", "*:uid=1003:put,list"]);
    let root = Client::connect(&path);
    let (map, other) = (new_map("secret"), new_map("other"));
    let secret = root.put_with(0, "hits", "u32 -> u64", &map)[0].clone();
    let put = |client: &Client, map: &_, layout: &str| {
        client.ask(PUT, 0, &strings(&["hits", layout]), &[AsFd::as_fd(map)])
    };
    let blind = Client::connect_as(&path, &User::new(1002));
    let taken = (4, "\"hits\" is the name of another object already".to_owned());
    // The same object with the same layout, with another layout, and another object: no difference.
    for (fd, layout) in [(&map, "u32 -> u64"), (&map, ""), (&other, "u32 -> u64"), (&other, "")] {
        assert_eq!(refusal(put(&blind, fd, layout)), taken, "{layout}");
    }
    for operation in [INFO, GET, REMOVE] {
        for name in ["hits", "missing"] {
            let answer = blind.ask(operation, 0, &string(name), &[]);
            assert_eq!((answer.status, answer.records.len()), (2, 0));
            assert!(answer.reason.contains(&format!("of \"{name}\": not allowed by ")));
        }
    }
    assert_eq!(blind.list(), []);
    // Its own object it may put again.
    let own = blind.put("own", other.as_fd());
    assert_eq!(done(own)[0].uid, 1002);
    assert_eq!(done(blind.put("own", other.as_fd()))[0].uid, 1002);
    // A peer that may list learns which object it is.
    let sighted = Client::connect_as(&path, &User::new(1003));
    let reason = format!("\"hits\" is the name of map {} already", secret.id);
    assert_eq!(refusal(put(&sighted, &other, "")), (4, reason));
    let same = done(put(&sighted, &map, "u32 -> u64"));
    assert_eq!((same[0].id, same[0].uid, same[0].time), (secret.id, 0, secret.time));
    assert_eq!(done(root.ask(INFO, 0, &string("hits"), &[]))[0], secret);
}
