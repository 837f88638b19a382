//! `bpf-map watch`: values, and by how much they change.

mod clock;
mod sample;

use crate::bpffs::pin;
use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::origin::LayoutPart;
use crate::cli::map::target::reference;
use crate::output::element::Integers;
use crate::output::watch::{self as output, Frame};
use anyhow::{anyhow, bail};
use bpf_inherit::terminal;
use bpf_inherit::{AccessMode, MapType};
use bpf_layout::{Slot, print};
use clap::{Arg, ArgMatches, Command, value_parser};
use clock::Clock;
use sample::Sample;
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// The size of a terminal's window if it is not known.
const WINDOW: (usize, usize) = (24, 80);

pub fn arguments(command: Command) -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let keys = "The keys [default: all]; the last may be a field of the value, as .NAME";
    arguments::map(command)
        .args([
            arguments::positional("KEY", keys).required(false).num_args(0..),
            option("interval", "SECONDS", "Time between readings [default: 1]")
                .value_parser(parse_interval),
            option("count", "N", "End after N readings")
                .value_parser(value_parser!(u64).range(1..)),
            option("sort", "FIELD", "Print entries first whose FIELD grew most"),
            option("top", "N", "Print only the first N entries")
                .value_parser(value_parser!(u64).range(1..)),
        ])
        .args(arguments::json_flags())
}

/// Seconds, with decimals: a millisecond at least.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds = text.parse().ok().filter(|_| plain);
    let interval = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    interval
        .filter(|interval| {
            (Duration::from_millis(1)..=Duration::from_secs(1 << 30)).contains(interval)
        })
        .ok_or_else(|| "not a number of seconds, from 0.001 on".into())
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    /// All if there are none.
    keys: Vec<&'a OsStr>,
    field: Option<&'a OsStr>,
    interval: Duration,
    count: Option<u64>,
    sort: Option<&'a str>,
    top: Option<u64>,
    json: Option<Integers>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        let sort = arguments::text(matches, "sort");
        if sort == Some("") {
            bail!("--sort: an empty name");
        }
        let mut keys = arguments::all(matches, "KEY");
        let field = keys.pop_if(|last| arguments::is_field(last));
        Ok(Args {
            map: MapArguments::new(matches)?,
            keys,
            field,
            interval: matches.get_one("interval").copied().unwrap_or(Duration::from_secs(1)),
            count: matches.get_one("count").copied(),
            sort,
            top: matches.get_one("top").copied(),
            json: arguments::integers(matches),
        })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let mut schedule = Schedule { clock: Clock::new(args.interval), left: args.count };
    let mut pin = reference::pin_identity(args.map.reference);
    let mut target = session.open(&args.map, AccessMode::ReadOnly)?;
    while let Some(next) = watch(session, &target, &mut pin, &mut schedule, &args)? {
        target = next;
    }
    Ok(0)
}

/// When to read, whatever map the pin refers to.
struct Schedule {
    clock: Clock,
    left: Option<u64>,
}

/// The map that the pin refers to now, if it is not `target`. A pin that was removed, or cannot be
/// opened, changes nothing: the map still exists.
fn replacement(
    session: &mut Session,
    target: &Target,
    pin: &mut Option<pin::Identity>,
    map: &MapArguments,
) -> Option<Rc<Target>> {
    let now = reference::pin_identity(map.reference);
    if now.is_none() || now == *pin {
        return None;
    }
    let next = session.open(map, AccessMode::ReadOnly).ok()?;
    *pin = now;
    (next.map.info().id != target.map.info().id).then_some(next)
}

/// Prints readings of one map; returns the next map if the pin refers to another one, or None at
/// the end.
fn watch(
    session: &mut Session,
    target: &Target,
    pin: &mut Option<pin::Identity>,
    schedule: &mut Schedule,
    args: &Args,
) -> anyhow::Result<Option<Rc<Target>>> {
    let label = &target.label;
    let key: Slot = match &target.layout.key {
        Some(key) => key.into(),
        None => bail!("{label}: {}", without_keys(target.map.info().map_type)),
    };
    if args.keys.iter().all(|key| arguments::is_field(key)) {
        target.walked_key("watch")?;
    }
    target.check_readable("watch")?;
    let value = target.field(args.field)?;
    let keys: Vec<Vec<u8>> =
        args.keys.iter().map(|key| target.key(key)).collect::<Result<_, _>>()?;
    target.warn_of_guess(&LayoutPart::BOTH);
    let rank: Option<Slot> = match (args.sort, args.top) {
        (Some(path), _) => Some(target.field(Some(path.as_ref()))?),
        (None, Some(_)) => Some(print::columns(value).first().map_or(value, |c| c.slot)),
        (None, None) => None,
    };
    let on_terminal = args.json.is_none() && std::io::stdout().is_terminal();
    let title = format!("{label}  every {} s", args.interval.as_secs_f64());

    let mut before: Option<Sample> = None;
    loop {
        let after = Sample::read(target, &keys, key)?;
        let mut frame = Frame {
            title: &title,
            key,
            value,
            stride: target.map.stride(),
            per_cpu: target.is_per_cpu(),
            integers: args.json.unwrap_or(Integers::Numbers),
            time: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            elapsed: schedule.clock.elapsed(after.at),
            since: before.as_ref().map(|before| after.at.duration_since(before.at)),
            entries: after.entries(before.as_ref(), &keys, key),
        };
        if let Some(rank) = rank {
            frame.sort(rank);
        }
        frame.entries.truncate(args.top.map_or(usize::MAX, |top| top as usize));
        let out = &mut session.out;
        match (args.json, on_terminal) {
            (Some(_), _) => output::print_json(&frame, &mut out.data),
            (None, true) => {
                let window = terminal::window(std::io::stdout().as_fd()).unwrap_or(WINDOW);
                output::print_screen(&frame, window, &mut out.data);
            }
            (None, false) => output::print_line(&frame, &mut out.data),
        }
        out.flush()?;
        before = Some(after);
        schedule.left = schedule.left.map(|left| left - 1);
        if schedule.left == Some(0) {
            return Ok(None);
        }
        schedule.clock.wait()?;
        if let Some(next) = replacement(session, target, pin, &args.map) {
            let id = next.map.info().id;
            session.out.report(format_args!("{label}: watch: the pin refers to map {id} now"))?;
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
