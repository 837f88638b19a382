//! The log names the user that the kernel reports, whatever a peer sends, and its lines are limited.

use crate::common::agent::*;
use crate::common::*;
use crate::support::peers::*;

/// Lines about one user in a second, of the 200 about all of them.
const MAX_LINES: usize = 100;

#[test]
fn refused_requests_are_counted_beyond_a_limit() {
    const REQUESTS: usize = 5000;
    let lab = Lab::new();
    let (mut agent, path) = serve_all(&lab, &[], &["x:uid=1001:list", "x:uid=1002:list"]);
    let [first, second] = [1001, 1002].map(|uid| Client::connect_as(&path, &User::new(uid)));
    for _ in 0..REQUESTS {
        assert_eq!(first.ask(INFO, 0, &string("hits"), &[]).status, 2);
    }
    // The lines of another user are written.
    assert_eq!(second.ask(INFO, 0, &string("mine"), &[]).status, 2);
    // Lines are reported once a second is over.
    let mut counted = 0;
    let mut lines = 0;
    while counted < REQUESTS {
        let line = agent.line("uid 100");
        if let Some(more) = line.strip_suffix(" more from uid 1001") {
            counted +=
                more.strip_prefix("bpf-agent: ").unwrap().parse::<usize>().expect("a number");
        } else if line.starts_with("bpf-agent: uid 1001 gid 1001 pid ") {
            (counted, lines) = (counted + 1, lines + 1);
        }
    }
    assert_eq!(counted, REQUESTS);
    let periods = agent.log.iter().filter(|line| line.contains(" more from ")).count();
    assert!(lines <= (periods + 1) * MAX_LINES, "{lines} lines in {periods} seconds");
    let seen = agent.log.join("\n");
    let end = agent.stop();
    let all = seen + "\n" + &end.stderr;
    assert_eq!(all.matches("uid 1002 gid 1002 pid").count(), 1, "{all}");
    assert_eq!(end.status, 0);
}

#[test]
fn text_of_a_peer_neither_hides_nor_forges_a_uid() {
    let lab = Lab::new();
    let (mut agent, path) = serve_all(&lab, &[], &["x:uid=1001:list"]);
    let client = Client::connect_as(&path, &User::new(1001));
    let forged = "\": refused: no\"\nbpf-agent: uid 0 gid 0 pid 1: remove \"x\": removed\r\x1b[2K";
    let longest = "\x01".repeat(401);
    for glob in [forged, &longest] {
        client.ask(LIST, 0, &string(glob), &[]);
        let line = agent.line("list ");
        assert!(line.starts_with("bpf-agent: uid 1001 gid 1001 pid "), "{line}");
        assert!(line.bytes().all(|byte| (b' '..0x7f).contains(&byte) || byte >= 0x80), "{line:?}");
        assert_eq!(line.matches("uid ").count() - glob.matches("uid ").count(), 1, "{line}");
        // No quotation ends before the peer's text does.
        let quotes = line.match_indices('"').filter(|(at, _)| !line[..*at].ends_with('\\')).count();
        assert!(quotes <= 2, "{line}");
    }
    let longer = "\"".repeat(402);
    assert_eq!(client.ask(LIST, 0, &string(&longer), &[]).status, 1);
    let line = agent.line("list");
    assert!(line.ends_with(": refused: a glob of 402 bytes, longer than 401"), "{line}");
    for (operation, body) in [(GET, string(forged)), (REMOVE, string(forged))] {
        assert_ne!(client.ask(operation, 0, &body, &[]).status, 0);
    }
    for line in agent.stop().stderr.lines() {
        let is_own = line == "bpf-agent: ends";
        assert!(is_own || line.starts_with("bpf-agent: uid 1001 "), "{line}");
    }
}
