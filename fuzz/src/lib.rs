//! What the targets of the layout codec share.

use bpf_layout::{Btf, Layout, Type, parse, print};

/// Bytes of the largest type that is tried: printing and parsing take time in proportion.
const MAX_SIZE: usize = 4096;

/// Splits an input into a type, which is its first line in layout notation, and the rest. None if
/// the line is not a type, or the type is too large.
pub fn split(data: &[u8]) -> Option<(Type, &[u8])> {
    let at = data.iter().position(|byte| *byte == b'\n')?;
    let ty: Type = std::str::from_utf8(&data[..at]).ok()?.parse().ok()?;
    (ty.size() <= MAX_SIZE).then_some((ty, &data[at + 1..]))
}

/// Checks that a type is read back from its own notation, and from its own BTF.
pub fn check_notation(ty: &Type) {
    let text = ty.to_string();
    match text.parse::<Type>() {
        Ok(back) => assert_eq!(&back, ty, "{text}"),
        Err(error) => panic!("{text}: {error}"),
    }
    let written = Layout { key: None, value: ty.clone() }.to_btf();
    let btf = Btf::parse(&written.blob).expect("just written");
    assert_eq!(btf.layout(written.value).as_ref(), Ok(ty));
}

/// Checks that a value is parsed from each of its printed forms as the same bytes.
pub fn check_value(ty: &Type, bytes: &[u8]) {
    if bytes.len() > MAX_SIZE {
        return;
    }
    let plain = printed(|out| print::plain(ty, bytes, out));
    assert_eq!(parse::value(ty, &plain).as_deref(), Ok(bytes), "{ty}: {plain}");
    let json = printed(|out| print::json(ty, bytes, out));
    let mut back = vec![0xaa; ty.size()];
    assert_eq!(parse::json(ty, &json, &mut back), Ok(()), "{ty}: {json}");
    assert_eq!(back, bytes, "{ty}: {json}");
    check_row(ty, bytes);
}

/// Checks that a row with all columns of a value is parsed as the same bytes, and that its cells
/// need no quotes in TSV.
pub fn check_row(ty: &Type, bytes: &[u8]) {
    let columns = print::all_columns(ty);
    let cells: Vec<String> =
        columns.iter().map(|column| printed(|out| column.cell(bytes, out))).collect();
    assert!(!cells.iter().any(|cell| cell.contains(['\t', '\n'])), "{ty}: {cells:?}");
    let names = columns.iter().map(|column| column.name.as_str());
    let mut row = parse::RowReader::new(ty, names).expect("all columns");
    let mut back = vec![0x55; ty.size()];
    assert_eq!(row.read(cells.iter().map(String::as_str), &mut back), Ok(()), "{ty}: {cells:?}");
    assert_eq!(back, bytes, "{ty}: {cells:?}");
}

fn printed(print: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    print(&mut out);
    String::from_utf8(out).expect("printed text is UTF-8")
}
