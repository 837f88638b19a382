//! Tables and properties of the agent's protocol.

use super::*;
use bpf_inherit::ObjectKind;
use proptest::collection::vec;
use proptest::prelude::*;

fn a_name() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..24).prop_filter("a name", |name| check_new_name(name).is_ok())
}

fn an_operation() -> impl Strategy<Value = Operation> {
    let names = || vec(a_name(), 1..5);
    let mode = (1u8..=3).prop_map(|bits| Access::from_bits(bits).unwrap());
    let layout = vec(any::<u8>(), 0..80);
    prop_oneof![
        (vec(any::<u8>(), 0..20), any::<bool>())
            .prop_map(|(glob, layouts)| Operation::List { glob, layouts }),
        (names(), mode).prop_map(|(names, wanted)| Operation::Get { names, wanted }),
        (a_name(), layout, any::<bool>()).prop_map(|(name, layout, replace)| Operation::Put {
            name,
            layout,
            replace
        }),
        a_name().prop_map(|name| Operation::Remove { name }),
        a_name().prop_map(|name| Operation::Info { name }),
        (names(), any::<u32>())
            .prop_map(|(names, milliseconds)| Operation::Wait { names, milliseconds }),
        (a_name(), any::<[u32; 2]>()).prop_map(|(name, [id, milliseconds])| {
            Operation::WaitChange { name, id, milliseconds }
        }),
    ]
}

fn a_record() -> impl Strategy<Value = Record> {
    let head = (0usize..3, 0u8..=3, 0u8..=3, 0usize..4);
    let numbers = (any::<[u32; 3]>(), any::<[u32; 4]>(), any::<[u32; 3]>(), any::<u64>());
    (head, numbers, a_name(), vec(any::<u8>(), 0..40)).prop_map(|(head, numbers, name, layout)| {
        let (kind, access, bound, state) = head;
        let ([id, pin_id, object_type], details, [uid, gid, pid], time) = numbers;
        use PinState::*;
        Record {
            kind: ObjectKind::ALL[kind],
            access: Access::from_bits(access).unwrap(),
            bound: Access::from_bits(bound).unwrap(),
            state: [Memory, Pinned, Changed, Gone][state],
            id,
            pin_id,
            object_type,
            details,
            uid,
            gid,
            pid,
            time,
            name,
            layout,
        }
    })
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written(number: u32, operation in an_operation()) {
        let request = AgentRequest { number, operation };
        let packet = request.encode();
        prop_assert_eq!(number_of(&packet), number);
        prop_assert_eq!(AgentRequest::decode(&packet), Ok(request));
    }

    #[test]
    fn a_reply_is_read_as_it_was_written(
        number: u32, records in vec(a_record(), 0..4), more: bool, reason in "[ -~]{0,40}",
    ) {
        let length = 12 + records.iter().map(Record::encoded_len).sum::<usize>();
        let reply = Reply::Records { records, more };
        let packet = reply.encode(number);
        prop_assert_eq!(packet.len(), length);
        prop_assert_eq!(Reply::decode(&packet), Ok((number, reply)));
        let reply = Reply::Failure { status: Status::Full, reason };
        prop_assert_eq!(Reply::decode(&reply.encode(number)), Ok((number, reply)));
    }

    /// A decoded packet is encoded to the same bytes, except a GET without access bits, which means
    /// both.
    #[test]
    fn no_packet_is_too_strange_to_be_refused(
        mut packet in vec(any::<u8>(), 0..120), plausible: bool, operation in 0u8..9,
    ) {
        if plausible && packet.len() > 4 {
            packet[0] = VERSION;
            packet[1] = operation;
            packet[2..4].fill(0);
        }
        if let Ok(request) = AgentRequest::decode(&packet) {
            let again = request.encode();
            prop_assert_eq!(&again[4..], &packet[4..]);
        }
        let _ = Reply::decode(&packet);
    }

    #[test]
    fn a_packet_cut_or_prolonged_is_refused(operation in an_operation(), cut in 0usize..200) {
        let packet = AgentRequest { number: 1, operation: operation.clone() }.encode();
        let short = &packet[..cut.min(packet.len() - 1)];
        if let Ok(request) = AgentRequest::decode(short) {
            // The last of several names may be missing as a whole.
            let several = matches!(
                request.operation,
                Operation::Get { .. } | Operation::Wait { .. }
            );
            prop_assert!(several);
        }
        let long = [packet.as_slice(), b"\0"].concat();
        prop_assert!(AgentRequest::decode(&long).is_err());
    }
}

#[test]
fn malformed_packets_are_refused_with_a_reason() {
    use PacketError::{Flags, Layout, Long, Name, NoName, Short, Version};
    let info =
        AgentRequest { number: 9, operation: Operation::Info { name: b"hits".to_vec() } }.encode();
    let with = |at: usize, byte: u8| {
        let mut packet = info.clone();
        packet[at] = byte;
        packet
    };
    for (packet, want) in [
        (vec![], Short),
        (info[..7].to_vec(), Short),
        (with(0, 1), Version(1)),
        (with(1, 0), PacketError::Operation(0)),
        (with(1, 7), PacketError::Operation(7)),
        (with(2, 1), Flags(1)),
        (with(8, 200), Short),
        (with(8, 3), Long(1)),
        (with(12, b'/'), Name("holds '/', '=', ',' or a control byte")),
        (header(GET, 0, 1), NoName),
        (
            with_names(header(PUT, 0, 1), [&b"a:b".to_vec(), &Vec::new()]),
            Name("contains '/', ':', '=' or a control byte"),
        ),
        (with_names(header(INFO, 0, 1), [&b"12".to_vec()]), Name("is a number")),
        (with_names(header(INFO, 0, 1), [&b"".to_vec()]), Name("is empty")),
        (with_names(header(INFO, 0, 1), [&vec![b'x'; 201]]), Name("is longer than 200 bytes")),
        (
            with_names(header(PUT, 0, 1), [&b"x".to_vec(), &vec![b'x'; MAX_LAYOUT + 1]]),
            Layout(MAX_LAYOUT + 1),
        ),
    ] {
        assert_eq!(AgentRequest::decode(&packet), Err(want));
    }
}

#[test]
fn a_mode_holds_its_bits_and_no_others() {
    assert_eq!(Access::from_bits(4), None);
    assert_eq!(Access::READ.or(Access::WRITE), Access::BOTH);
    assert!(Access::BOTH.has(Access::READ) && !Access::READ.has(Access::WRITE));
    assert_eq!(Access::BOTH.and(Access::WRITE).name(), "w");
}

/// Bytes as bpf-agent(7) shows them: 16 a line, in roff.
fn dumped(packet: &[u8]) -> String {
    let line = |bytes: &[u8]| {
        let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let text = |b: &u8| if (b' '..=b'~').contains(b) { char::from(*b) } else { '.' };
        let text = bytes.iter().map(text).collect::<String>().replace('-', "\\-");
        format!("{:<47}  {text}", hex.join(" ")).trim_end().to_owned() + "\n"
    };
    packet.chunks(16).map(line).collect()
}

#[test]
#[cfg(target_endian = "little")]
fn the_page_shows_what_is_sent() {
    let names = vec![b"hits".to_vec()];
    let request =
        AgentRequest { number: 7, operation: Operation::Get { names, wanted: Access::READ } };
    let record = Record {
        kind: ObjectKind::Map,
        access: Access::READ,
        bound: Access::BOTH,
        state: PinState::Pinned,
        id: 57,
        pin_id: 0,
        object_type: 2,
        details: [4, 8, 1024, 0],
        uid: 0,
        gid: 0,
        pid: 4242,
        time: 1_700_000_000,
        name: b"hits".to_vec(),
        layout: b"u32 -> u64".to_vec(),
    };
    let reply = Reply::Records { records: vec![record], more: false };
    let reason = "nothing is stored as \"hits\"".to_owned();
    let refusal = Reply::Failure { status: Status::Absent, reason };
    let operation = Operation::WaitChange { name: b"hits".to_vec(), id: 57, milliseconds: 0 };
    let wait = AgentRequest { number: 8, operation };
    let page = include_str!("../../../man/bpf-agent.7");
    for packet in [request.encode(), wait.encode(), reply.encode(7), refusal.encode(7)] {
        let block = format!(".EX\n{}.EE\n", dumped(&packet));
        assert!(page.contains(&block), "the page does not show\n{block}");
    }
}
