//! `bpf-map watch`: values, and by how much they change.

mod clock;
mod sample;

use super::get::{integers, json_flags};
use crate::bpffs::pin;
use crate::cli::map::arguments::positional;
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::origin::Part;
use crate::cli::map::target::reference;
use crate::output::element::Integers;
use crate::output::watch::{self as output, Frame};
use anyhow::{Context, anyhow, bail};
use bpf_inherit::MapType;
use bpf_inherit::Startup;
use bpf_inherit::terminal;
use bpf_layout::{Slot, print};
use clap::{Arg, ArgMatches, Command, value_parser};
use clock::Clock;
use sample::Sample;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

/// A terminal's window where it does not tell.
const WINDOW: (usize, usize) = (24, 80);

pub fn arguments(command: Command) -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    reference::arguments(command)
        .args([
            positional(
                "KEY",
                "The keys [default: all]; the last may be a field of the value, as .NAME",
            )
            .required(false)
            // Options may follow the keys, and a negative number is no option.
            .allow_hyphen_values(false)
            .allow_negative_numbers(true)
            .num_args(0..),
            option("interval", "SECONDS", "Time from one reading to the next [default: 1]")
                .value_parser(interval),
            option("count", "N", "End after so many readings")
                .value_parser(value_parser!(u64).range(1..)),
            option("sort", "FIELD", "Those first of which this field grew most"),
            option("top", "N", "No more than the first N elements")
                .value_parser(value_parser!(u64).range(1..)),
        ])
        .args(json_flags())
}

/// Seconds, with decimals: a millisecond at least.
fn interval(text: &str) -> Result<Duration, String> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds = text.parse().ok().filter(|_| plain);
    let interval = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    interval
        .filter(|interval| {
            (Duration::from_millis(1)..=Duration::from_secs(1 << 30)).contains(interval)
        })
        .ok_or_else(|| "not a number of seconds, from 0.001 on".into())
}

pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let interval = matches.get_one("interval").copied().unwrap_or(Duration::from_secs(1));
    let mut schedule = Schedule {
        interval,
        clock: Clock::new(interval),
        left: matches.get_one::<u64>("count").copied(),
    };
    let mut pin = reference::pin_identity(crate::cli::map::arguments::value(matches, "MAP"));
    let mut target = reference::open(&session.startup, matches, false)?;
    while let Some(next) = watch(session, &target, &mut pin, &mut schedule, matches)? {
        target = next;
    }
    Ok(0)
}

/// When to read, whatever map the pin refers to.
struct Schedule {
    interval: Duration,
    clock: Clock,
    left: Option<u64>,
}

/// The map that the pin refers to by now, if that is another one than `target`. A pin that
/// vanished, or cannot be opened, changes nothing: the map is still there.
fn replacement(
    startup: &Startup,
    target: &Target,
    pin: &mut Option<pin::Identity>,
    matches: &ArgMatches,
) -> Option<Target> {
    let now = reference::pin_identity(crate::cli::map::arguments::value(matches, "MAP"));
    if now.is_none() || now == *pin {
        return None;
    }
    let next = reference::open(startup, matches, false).ok()?;
    *pin = now;
    (next.map.info().id != target.map.info().id).then_some(next)
}

/// Prints readings of one map; the next map, if the pin refers to another one, or None at the
/// end.
fn watch(
    session: &mut Session,
    target: &Target,
    pin: &mut Option<pin::Identity>,
    schedule: &mut Schedule,
    matches: &ArgMatches,
) -> anyhow::Result<Option<Target>> {
    let (startup, out) = session.parts();
    let label = &target.label;
    let key: Slot = match &target.layout.key {
        Some(key) => key.into(),
        None => bail!("{label}: {}", without_keys(target.map.info().map_type)),
    };
    let mut keys: Vec<&OsString> = matches.get_many("KEY").into_iter().flatten().collect();
    let is_field = |word: &&OsString| word.as_bytes().starts_with(b".");
    if keys.iter().all(is_field) {
        target.walked_key("watch")?;
    }
    target.check_readable("watch")?;
    let field = keys.pop_if(|last| last.as_bytes().starts_with(b"."));
    let field = field.map_or("".into(), |field| field.to_string_lossy());
    let value = target.layout.value.field(&field).with_context(|| label.clone())?;
    let keys: Vec<Vec<u8>> = keys.iter().map(|key| target.key(key)).collect::<Result<_, _>>()?;
    target.warn_of_guess(&Part::BOTH);
    let top = matches.get_one::<u64>("top").map_or(usize::MAX, |&n| n as usize);
    let rank: Option<Slot> = match matches.get_one::<String>("sort") {
        Some(path) => Some(target.layout.value.field(path).with_context(|| label.clone())?),
        None if top < usize::MAX => Some(print::columns(value).first().map_or(value, |c| c.slot)),
        None => None,
    };
    let json = integers(matches);
    let on_terminal = json.is_none() && std::io::stdout().is_terminal();
    let title = format!("{label}  every {} s", schedule.interval.as_secs_f64());

    let mut before: Option<Sample> = None;
    loop {
        let after = Sample::read(target, &keys, key)?;
        let mut frame = Frame {
            title: &title,
            key,
            value,
            stride: target.map.stride(),
            per_cpu: target.is_per_cpu(),
            integers: json.unwrap_or(Integers::Numbers),
            time: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            elapsed: schedule.clock.elapsed(after.at),
            since: before.as_ref().map(|before| after.at.duration_since(before.at)),
            entries: after.entries(before.as_ref(), &keys, key),
        };
        if let Some(rank) = rank {
            frame.sort(rank);
        }
        frame.entries.truncate(top);
        match (json, on_terminal) {
            (Some(_), _) => output::object(&frame, &mut out.data),
            (_, true) => {
                let window = terminal::window(std::io::stdout().as_fd()).unwrap_or(WINDOW);
                output::screen(&frame, window, &mut out.data);
            }
            _ => output::line(&frame, &mut out.data),
        }
        out.flush()?;
        before = Some(after);
        schedule.left = schedule.left.map(|left| left - 1);
        if schedule.left == Some(0) {
            return Ok(None);
        }
        schedule.clock.wait()?;
        if let Some(next) = replacement(startup, target, pin, matches) {
            let id = next.map.info().id;
            out.report(format_args!("{label}: watch: the pin refers to map {id} now"))?;
            return Ok(Some(next));
        }
    }
}

fn without_keys(kind: MapType) -> anyhow::Error {
    let name = kind.with_article();
    match kind {
        MapType::QUEUE | MapType::STACK => {
            anyhow!("{name} has no keys to watch (peek prints what is next)")
        }
        MapType::BLOOM_FILTER => anyhow!("{name} has no keys to watch (has asks it for a value)"),
        _ => anyhow!("{name} has no keys to watch"),
    }
}
