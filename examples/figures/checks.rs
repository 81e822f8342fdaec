//! TLS and HTTP probes: how soon each failure is a verdict, and what 1,000 quick probes cost.

mod peers;
mod probes;
mod verdicts;

use live_kit::World;

pub fn run(world: &mut World) {
    verdicts::run(world);
    probes::run(world);
}
