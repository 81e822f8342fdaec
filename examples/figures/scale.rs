//! Many workers, many children, many names: what each costs with the module, beside the same configuration without it.

mod children;
mod cost;
mod names;
mod reach;
mod site;
mod table;
mod workers;

use live_kit::World;

pub fn run(world: &mut World) {
    workers::run(world);
    children::run(world);
    names::run(world);
    cost::run(world);
}
