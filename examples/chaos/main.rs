//! Chaos: random but reproducible trouble of every kind under steady load, for a httpd with the module and a stock one
//! beside it, and what must hold all the time. Started by `./apxs/chaos`, whose head tells of it; everything runs in
//! namespaces of its own.
//!
//! `chaos MINUTES SEED [--mpm event|prefork] [--stop] [--list]`

mod act;
mod action;
mod askers;
mod board;
mod bounds;
mod judge;
mod logs;
mod machines;
mod report;
mod run;
mod schedule;
mod site;
mod truth;
mod twice;
mod users;

use live_kit::Mpm;
use run::Settings;

const USAGE: &str = "usage: chaos MINUTES SEED [--mpm event|prefork] [--stop] [--list]";

fn main() {
    let settings = read(std::env::args().skip(1)).unwrap_or_else(|message| {
        eprintln!("{message}\n{USAGE}");
        std::process::exit(2)
    });
    if settings.list {
        return list(&settings);
    }
    std::process::exit(live_kit::private("chaos", |world| {
        println!(
            "== seed {}, {:?}, {} s",
            settings.seed,
            settings.mpm,
            settings.millis / 1_000
        );
        if !run::run(world, &settings) {
            std::process::exit(1);
        }
    }));
}

/// The course of a run, without the run.
fn list(settings: &Settings) {
    for step in run::course(settings) {
        println!("{:>9.3} s  {}", step.at as f64 / 1e3, step.action);
    }
}

fn read(mut args: impl Iterator<Item = String>) -> Result<Settings, String> {
    let (mut words, mut mpm, mut stop, mut list) = (Vec::new(), None, false, false);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--stop" => stop = true,
            "--list" => list = true,
            "--mpm" => {
                mpm = match args.next().as_deref() {
                    Some("event") => Some(Mpm::Event),
                    Some("prefork") => Some(Mpm::Prefork),
                    other => return Err(format!("--mpm needs event or prefork; read {other:?}")),
                }
            }
            _ => words.push(arg),
        }
    }
    let [minutes, seed] = words.as_slice() else {
        return Err("minutes and a seed are needed".into());
    };
    let wrong = |word: &str| format!("no number: {word}");
    let time: f64 = minutes.parse().map_err(|_| wrong(minutes))?;
    let number: u64 = seed.parse().map_err(|_| wrong(seed))?;
    let (mpm, word) = match mpm {
        Some(Mpm::Prefork) => (Mpm::Prefork, "prefork"),
        None if !number.is_multiple_of(2) => (Mpm::Prefork, "prefork"),
        _ => (Mpm::Event, "event"),
    };
    Ok(Settings {
        millis: (time * 60_000.0) as u64,
        seed: number,
        mpm,
        word,
        stop,
        list,
        minutes: minutes.clone(),
        command: format!("./apxs/chaos {minutes} {seed} --mpm {word}"),
    })
}
