//! The demo: a stock httpd and one with the module side by side, the same users on both. First the name of
//! their backend moves, its old machine vanishes, and DNS breaks; then one of two members of a balancer
//! vanishes, and the other one is killed; then a member vanishes with a user's request on it; then a member's health
//! page says that it leaves. Started by `./apxs/demo`; everything runs in namespaces of its own and ends with it.

mod check;
mod name;
mod pair;
mod rescue;
mod show;
mod tally;

use live_kit::World;

fn main() {
    std::process::exit(live_kit::private("demo", demo));
}

fn demo(world: &mut World) {
    let name = name::run(world);
    let pair = pair::run(world);
    let rescue = rescue::run(world);
    let check = check::run(world);
    assert!(
        name,
        "the httpd with the module failed a request or used an old address"
    );
    assert!(
        pair,
        "the httpd with the module failed a request, used a dead member for too long, or did not use one that was back"
    );
    assert!(
        rescue,
        "the httpd with the module did not rescue the request that a member died with"
    );
    assert!(
        check,
        "the httpd with the module failed a request of a member whose page said 503, or did not tell what it observed"
    );
}
