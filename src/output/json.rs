//! Results as JSON, for programs.

use super::MapRow;
use std::fmt::Write;

/// One array, an object for each map, a line each. What is not known is null;
/// bytes that are not UTF-8 become U+FFFD.
pub fn maps(rows: &[MapRow]) -> String {
    let mut out = String::from("[");
    for (i, row) in rows.iter().enumerate() {
        let _ = write!(
            out, // a String takes everything
            "{}\n  {{\"index\": {}, \"name\": {}, \"fd\": {}, \"id\": {}, \"type\": {}, \"key_size\": {}, \
             \"value_size\": {}, \"max_entries\": {}, \"access\": {}, \"layout\": {}}}",
            if i == 0 { "" } else { "," },
            row.index,
            string(row.name.as_deref()),
            row.fd,
            row.id,
            string(Some(row.kind.as_bytes())),
            row.key_size,
            row.value_size,
            row.max_entries,
            string(Some(row.access.as_bytes())),
            string(row.layout.as_deref()),
        );
    }
    out.push_str(if rows.is_empty() { "]\n" } else { "\n]\n" });
    out
}

fn string(bytes: Option<&[u8]>) -> String {
    let text = bytes.map(String::from_utf8_lossy);
    text.map_or("null".into(), |text| serde_json::Value::from(text).to_string())
}
