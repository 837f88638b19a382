//! Numbers to text without the formatter, which would take most of the time of a dump.

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `value` in decimal.
pub fn unsigned(mut value: u64, out: &mut Vec<u8>) {
    // u64::MAX has 20 digits.
    let mut text = [0; 20];
    let mut at = text.len();
    while value >= 100 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    let pair = value as usize * 2;
    if value >= 10 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        text[at] = PAIRS[pair + 1];
    }
    out.extend_from_slice(&text[at..]);
}

/// Appends `value` in decimal.
pub fn wide(value: u128, out: &mut Vec<u8>) {
    match u64::try_from(value) {
        Ok(value) => unsigned(value, out),
        Err(_) => {
            const SPLIT: u128 = 10_000_000_000_000_000_000;
            wide(value / SPLIT, out);
            let low = (value % SPLIT) as u64;
            // The lower 19 digits keep their leading zeros.
            let start = out.len();
            unsigned(low, out);
            let missing = 19 - (out.len() - start);
            out.splice(start..start, std::iter::repeat_n(b'0', missing));
        }
    }
}

/// Appends `value` in decimal.
pub fn signed(value: i128, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    wide(value.unsigned_abs(), out);
}

/// Appends two lower-case hex digits a byte.
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_formatter() {
        let mut seeds =
            vec![0u128, 9, 10, 99, 100, u64::MAX as u128, u64::MAX as u128 + 1, u128::MAX];
        seeds.extend((0..38).flat_map(|n| [10u128.pow(n) - 1, 10u128.pow(n), 10u128.pow(n) + 7]));
        for value in seeds {
            let mut out = Vec::new();
            wide(value, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), value.to_string());
        }
        for value in [i128::MIN, -1, 0, i128::MAX, i128::from(i64::MIN)] {
            let mut out = Vec::new();
            signed(value, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), value.to_string());
        }
    }
}
