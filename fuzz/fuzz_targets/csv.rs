//! Tables of a type, which is the first line; the others are a header and rows, with commas and
//! quotes or with tabs, split as `bpf-map load` splits them. Rows are parsed or refused, and what
//! is parsed is printed and parsed as the same bytes.

#![no_main]

use bpf_exec_fuzz::{check_value, split};
use bpf_layout::Type;
use bpf_layout::parse::RowReader;
use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((ty, rest)) = split(data) else { return };
    for delimiter in [b',', b'\t'] {
        check(&ty, &records(rest, delimiter));
    }
});

fn check(ty: &Type, records: &[Vec<String>]) {
    let Some((header, rows)) = records.split_first() else { return };
    let Ok(mut row) = RowReader::new(ty, header.iter().map(String::as_str)) else { return };
    let mut bytes = vec![0xaa; ty.size()];
    for cells in rows {
        if row.read(cells.iter().map(String::as_str), &mut bytes).is_ok() {
            check_value(ty, &bytes);
        }
    }
}

/// The records of a table, up to the first that is not UTF-8.
fn records(mut input: &[u8], delimiter: u8) -> Vec<Vec<String>> {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter == b',')
        .terminator(Terminator::Any(b'\n'))
        .build();
    // A record has fewer bytes and cells than the input.
    let (mut text, mut ends) = (vec![0; input.len() + 1], vec![0; input.len() + 1]);
    let mut records = Vec::new();
    let (mut written, mut ended) = (0, 0);
    loop {
        let (result, read, bytes, cells) =
            reader.read_record(input, &mut text[written..], &mut ends[ended..]);
        input = &input[read..];
        (written, ended) = (written + bytes, ended + cells);
        match result {
            ReadRecordResult::InputEmpty => {} // The next call, with no input, ends the record.
            ReadRecordResult::Record => {
                let mut start = 0;
                let cell = |end: &usize| {
                    let cell = std::str::from_utf8(&text[start..*end]).ok()?;
                    start = *end;
                    Some(cell.to_owned())
                };
                let Some(record) = ends[..ended].iter().map(cell).collect() else { break };
                records.push(record);
                (written, ended) = (0, 0);
            }
            ReadRecordResult::End => break,
            full => panic!("{full:?}: the buffers are as long as the input"),
        }
    }
    records
}
