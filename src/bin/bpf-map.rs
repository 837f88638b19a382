//! Reads and writes the elements of BPF maps.
#![no_main]

bpf_inherit::entry!(bpf_exec::bpf_map);
