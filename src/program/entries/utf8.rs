//! A state machine over the bytes of UTF-8 text that finds characters that the codec quotes or
//! escapes, for code that has tables and no functions.

use bpf_layout::text::is_unsafe;
use std::sync::OnceLock;

/// Bits of a transition: the next state, and properties of the character that the byte ends.
pub const STATE: u16 = 0x3f;
/// A terminal or a reader could be misled.
pub const UNSAFE: u16 = 1 << 6;
pub const SPACE: u16 = 1 << 7;
/// The byte cannot be here.
pub const INVALID: u16 = 1 << 8;
/// The bytes of the character, less one.
pub const LENGTH_SHIFT: i32 = 9;
pub const COMPLETE: u16 = 1 << 11;
pub const QUOTE: u16 = 1 << 12;
pub const BACKSLASH: u16 = 1 << 13;
pub const COMMA: u16 = 1 << 14;
/// A space of ASCII.
pub const BLANK: u16 = 1 << 15;

type State = [u16; 256];

/// The transitions from all states, 256 for each: two bytes each in host byte order. The first state
/// is between two characters. There are as many states as [`STATE`] allows, the last ones unused.
pub fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(make_table)
}

fn make_table() -> Vec<u8> {
    let mut machine = StateMachine { states: vec![[INVALID; 256]], special: special() };
    let mut start = [INVALID; 256];
    for byte in 0..0x80u8 {
        start[usize::from(byte)] = transition(char::from(byte), 1);
    }
    for byte in 0xc2..=0xf4u8 {
        let (length, bits) = match byte {
            0xc2..=0xdf => (2, byte & 0x1f),
            0xe0..=0xef => (3, byte & 0x0f),
            _ => (4, byte & 0x07),
        };
        start[usize::from(byte)] = machine.state(u32::from(bits), length - 1, length);
    }
    machine.states[0] = start;
    machine.states.resize(usize::from(STATE) + 1, [INVALID; 256]);
    machine.states.iter().flatten().flat_map(|transition| transition.to_ne_bytes()).collect()
}

struct StateMachine {
    states: Vec<State>,
    /// The characters beyond ASCII of which something is known.
    special: Vec<u32>,
}

impl StateMachine {
    /// The state after the first bytes of a character of `length` bytes, whose bits these are, with
    /// `rest` bytes to come.
    fn state(&mut self, bits: u32, rest: u32, length: u32) -> u16 {
        let mut state = [INVALID; 256];
        for byte in 0x80..0xc0u32 {
            let bits = bits << 6 | byte & 0x3f;
            let (from, to) = (bits << (6 * (rest - 1)), (bits + 1) << (6 * (rest - 1)));
            state[byte as usize] = match (char::from_u32(from), rest) {
                // Overlong, a surrogate, or beyond the last character.
                _ if from < [0, 0, 0x80, 0x800, 0x10000][length as usize] => INVALID,
                (None, _) => INVALID,
                (Some(character), 1) => transition(character, length),
                // Most characters are like their neighbours.
                (Some(_), _) => match self.special.iter().find(|c| (from..to).contains(c)) {
                    Some(_) => self.state(bits, rest - 1, length),
                    None => self.plain(rest - 1, length),
                },
            };
        }
        self.intern(state)
    }

    /// The state with `rest` bytes to come of a character of which nothing is known.
    fn plain(&mut self, rest: u32, length: u32) -> u16 {
        let next = match rest {
            1 => COMPLETE | (length as u16 - 1) << LENGTH_SHIFT,
            _ => self.plain(rest - 1, length),
        };
        let mut state = [INVALID; 256];
        state[0x80..0xc0].fill(next);
        self.intern(state)
    }

    fn intern(&mut self, state: State) -> u16 {
        let known = self.states.iter().skip(1).position(|other| *other == state);
        known.map_or_else(
            || {
                self.states.push(state);
                self.states.len() as u16 - 1
            },
            |at| at as u16 + 1,
        )
    }
}

/// The characters beyond ASCII of which something is known, all of them below U+10000 or in the
/// plane of tags.
fn special() -> Vec<u32> {
    let places = (0x80..0x10000).chain(0xe0000..0xe1000);
    let is_special =
        |c: &u32| char::from_u32(*c).is_some_and(|c| is_unsafe(c) || c.is_whitespace());
    places.filter(is_special).collect()
}

fn transition(character: char, length: u32) -> u16 {
    let mut transition = COMPLETE | (length as u16 - 1) << LENGTH_SHIFT;
    for (holds, bit) in [
        (is_unsafe(character), UNSAFE),
        (character.is_whitespace(), SPACE),
        (character == '"', QUOTE),
        (character == '\\', BACKSLASH),
        (character == ',', COMMA),
        (character == ' ', BLANK),
    ] {
        if holds {
            transition |= bit;
        }
    }
    transition
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(table: &[u8], bytes: &[u8]) -> (u16, u16) {
        bytes.iter().fold((0, 0), |(last, all), byte| {
            let at = (usize::from(last & STATE) * 256 + usize::from(*byte)) * 2;
            let next = u16::from_ne_bytes([table[at], table[at + 1]]);
            (next, all | next)
        })
    }

    #[test]
    fn every_character_ends_in_the_first_state_with_its_bits() {
        let table = table();
        for character in ('\0'..=char::MAX)
            .filter(|c| *c < '\u{3100}' || u32::from(*c) % 7 == 0 || is_unsafe(*c))
        {
            let mut buffer = [0; 4];
            let text = character.encode_utf8(&mut buffer);
            let (last, all) = run(table, text.as_bytes());
            assert_eq!(last, transition(character, text.len() as u32), "{character:?}");
            assert_eq!(all & INVALID, 0, "{character:?}");
        }
    }

    #[test]
    fn malformed_utf8_is_invalid_or_incomplete() {
        let table = table();
        let mut bytes = [0; 4];
        // All pairs, and all first three bytes of longer ones that are near a border.
        let borders = [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff];
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                for third in borders {
                    for fourth in borders {
                        bytes.copy_from_slice(&[first, second, third, fourth]);
                        for len in 1..=4 {
                            let (last, all) = run(table, &bytes[..len]);
                            let valid = last & STATE == 0 && all & INVALID == 0;
                            let text = &bytes[..len];
                            assert_eq!(valid, std::str::from_utf8(text).is_ok(), "{text:x?}");
                        }
                    }
                }
            }
        }
    }
}
