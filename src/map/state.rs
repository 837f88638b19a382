//! The state of a map in addition to its specification, from /proc/self/fdinfo (`bpf_map_show_fdinfo` in
//! `kernel/bpf/syscall.c`).

use bpf_inherit::Map;
use bpf_inherit::{Result, fd};
use std::os::fd::AsFd;

/// Properties of a map that may change, and those that bpf(2) does not report.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MapState {
    /// Whether bpf(2) can no longer write entries.
    pub frozen: bool,
    /// Memory that the kernel accounts for the map, in bytes.
    pub memlock: u64,
    /// A parameter that depends on the type, such as the number of hash functions of a bloom
    /// filter.
    pub extra: u64,
    /// The program type of a program array (`enum bpf_prog_type`), once it has had a program.
    pub owner: Option<u32>,
    /// Whether the programs of a program array are compiled.
    pub owner_jited: Option<bool>,
}

impl MapState {
    /// Reads the state from /proc. A field that this kernel does not have is 0, false or None.
    ///
    /// # Errors
    /// Those of [`fd::info`].
    pub fn read(map: &Map) -> Result<MapState> {
        Ok(MapState::parse(&fd::info(map.as_fd())?))
    }

    fn parse(text: &str) -> MapState {
        let mut state = MapState::default();
        for line in text.lines() {
            let Some((field, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            let number = match value.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16),
                None => value.parse(),
            };
            let Ok(number) = number else { continue };
            match field {
                "frozen" => state.frozen = number != 0,
                "memlock" => state.memlock = number,
                "map_extra" => state.extra = number,
                "owner_prog_type" => state.owner = u32::try_from(number).ok(),
                "owner_jited" => state.owner_jited = Some(number != 0),
                _ => {}
            }
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::MapState;

    #[test]
    fn fields_are_read_in_any_order() {
        let text = "pos:\t0\nflags:\t02000002\nmap_type:\t3\nmap_extra:\t0x1f\nmemlock:\t344\n\
                    frozen:\t1\nowner_prog_type:\t3\nowner_jited:\t0\nodd\nnew:\tx\n";
        let want = MapState {
            frozen: true,
            memlock: 344,
            extra: 31,
            owner: Some(3),
            owner_jited: Some(false),
        };
        assert_eq!(MapState::parse(text), want);
        assert_eq!(MapState::parse(""), MapState::default());
    }
}
