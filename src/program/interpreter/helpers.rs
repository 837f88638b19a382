//! The helpers of the kernel that generated programs call.

use super::machine::{KEY, MAP, Machine, SEQ, VALUE};

impl Machine {
    /// Calls a helper, whose result is in R0.
    pub(super) fn call(&mut self, helper: i32) {
        if !matches!(helper, 126 | 127) {
            let returned = self.call_for_element(helper);
            self.registers[..6].fill(0xdead);
            self.registers[0] = returned;
            return;
        }
        let [_, seq, data, len, arguments, size, ..] = self.registers;
        assert_eq!(seq, SEQ);
        let text = self.bytes(data, len as usize).to_vec();
        match helper {
            127 => self.out.extend(text),
            126 => {
                let (format, nul) = text.split_at(text.len() - 1);
                assert_eq!(nul, [0]);
                let words = self.bytes(arguments, size as usize).to_vec();
                let words =
                    words.chunks_exact(8).map(|w| u64::from_ne_bytes(w.try_into().expect("8")));
                let text = printf(std::str::from_utf8(format).expect("ASCII"), words);
                self.out.extend(text.into_bytes());
            }
            other => panic!("helper {other}"),
        }
        self.registers[..6].fill(0xdead);
    }

    /// A helper for maps and locks, which returns a number.
    fn call_for_element(&mut self, helper: i32) -> u64 {
        let [_, first, key, ..] = self.registers;
        match helper {
            1 | 195 => {
                assert_eq!(first, MAP);
                let known = self.memory.iter().find(|(base, _)| *base == KEY).expect("a key");
                let known = known.1.clone();
                assert_eq!(self.bytes(key, known.len()), known);
                let found = self.memory.iter().any(|(base, _)| *base == VALUE);
                if found { VALUE } else { 0 }
            }
            93 | 94 => {
                assert_eq!((first >> 32 << 32, self.is_locked), (VALUE, helper == 94));
                self.is_locked = helper == 93;
                0
            }
            other => panic!("helper {other}"),
        }
    }
}

fn printf(format: &str, mut arguments: impl Iterator<Item = u64>) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some((text, after)) = rest.split_once('%') {
        out += text;
        let end = after.find(|c: char| !c.is_ascii_digit() && c != 'l').expect("a conversion") + 1;
        let (conversion, after) = after.split_at(end);
        rest = after;
        if conversion == "%" {
            out += "%";
            continue;
        }
        let (width, kind) = conversion.split_once("ll").expect("ll");
        let number = arguments.next().expect("an argument");
        let text = match kind {
            "u" => number.to_string(),
            "d" => (number as i64).to_string(),
            "x" => format!("{number:x}"),
            other => panic!("conversion {other}"),
        };
        let width = width.parse().unwrap_or(0);
        out += &"0".repeat(usize::saturating_sub(width, text.len()));
        out += &text;
    }
    assert_eq!(arguments.next(), None);
    out + rest
}
