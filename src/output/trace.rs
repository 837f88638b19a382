//! Lines of the kernel's trace pipe: as text, and as JSON with the fields of each line.

use crate::text::escape;
use serde::Serialize;
use serde_json::value::RawValue;

/// The name of the event before the text of bpf_printk.
const PRINTK: &str = "bpf_trace_printk: ";

/// A line of the trace pipe: `TASK-PID [CPU] FLAGS TIME: EVENT: TEXT`.
#[derive(Debug, Default, PartialEq)]
struct TraceLine<'a> {
    task: &'a str,
    pid: u32,
    cpu: u32,
    /// Seconds on the clock of the trace buffer; by default since boot.
    time: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct EventFields<'a> {
    task: &'a str,
    pid: u32,
    cpu: u32,
    time: Option<&'a RawValue>,
    text: &'a str,
}

/// A line that is not an event: the kernel reports the number of lost events.
#[derive(Serialize)]
struct OtherLine<'a> {
    text: &'a str,
}

/// Adds a line, without control characters.
pub fn print_line(line: &[u8], out: &mut Vec<u8>) {
    out.extend(escape(line).as_bytes());
    out.push(b'\n');
}

/// Adds a line as an object of JSON.
pub fn print_json(line: &[u8], out: &mut Vec<u8>) {
    let line = String::from_utf8_lossy(line);
    let json = match TraceLine::parse(&line) {
        Some(TraceLine { task, pid, cpu, time, text }) => {
            // A time that is not a JSON number is null.
            let time = serde_json::from_str(time).ok();
            serde_json::to_vec(&EventFields { task, pid, cpu, time, text })
        }
        None => serde_json::to_vec(&OtherLine { text: line.trim() }),
    };
    // Serializing strings and numbers cannot fail.
    out.extend(json.unwrap_or_default());
    out.push(b'\n');
}

impl<'a> TraceLine<'a> {
    fn parse(line: &'a str) -> Option<TraceLine<'a>> {
        // The name of a task may contain any characters, brackets included.
        let brackets = line.match_indices('[').map(|(at, _)| at);
        brackets.into_iter().find_map(|at| {
            let (before, after) = (line[..at].trim(), &line[at + 1..]);
            let (cpu, after) = after.split_once(']')?;
            // The thread group may follow in parentheses.
            let before = before.split_once('(').map_or(before, |(task, rest)| {
                if rest.trim_end().ends_with(')') { task } else { before }
            });
            let (task, pid) = before.trim_end().rsplit_once('-')?;
            let (head, text) = after.split_once(": ")?;
            let time = head.rsplit(' ').next()?;
            let is_number = time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let text = text.strip_prefix(PRINTK).unwrap_or(text);
            let (pid, cpu) = (pid.parse().ok()?, cpu.parse().ok()?);
            is_number.then_some(TraceLine { task, pid, cpu, time, text })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_field_by_field() {
        for (line, task, pid, cpu, time, text) in [
            (
                "           <...>-22037   [000] ...1. 41745.093799: tracing_mark_write: hi",
                "<...>",
                22037,
                0,
                "41745.093799",
                "tracing_mark_write: hi",
            ),
            (
                "       my-task 1-7       [012] d..31 5.000001: bpf_trace_printk: a: b",
                "my-task 1",
                7,
                12,
                "5.000001",
                "a: b",
            ),
            ("sh [x]-7     (      7) [001] .... 12: bpf_trace_printk: ", "sh [x]", 7, 1, "12", ""),
        ] {
            let want = TraceLine { task, pid, cpu, time, text };
            assert_eq!(TraceLine::parse(line), Some(want), "{line}");
        }
        assert_eq!(TraceLine::parse("CPU:1 [LOST 16 EVENTS]"), None);
    }

    #[test]
    fn other_lines_are_text() {
        let mut out = Vec::new();
        print_json(b"CPU:1 [LOST 16 EVENTS]", &mut out);
        print_json(b"a-1 [000] d..1 1.5: bpf_trace_printk: \"x\"\x1b", &mut out);
        let want = "{\"text\":\"CPU:1 [LOST 16 EVENTS]\"}\n\
                    {\"task\":\"a\",\"pid\":1,\"cpu\":0,\"time\":1.5,\"text\":\"\\\"x\\\"\\u001b\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
        let mut out = Vec::new();
        print_line(b"\x1b[31m", &mut out);
        assert_eq!(out, b"\\x1b[31m\n");
    }
}
