//! A member that hangs and has a small pool of connections (`max=`, `acquire=`): httpd puts it into error when
//! the pool is used up, and that is no error that a rescue has provoked.

use crate::common::pool::*;
use crate::common::*;
use live_kit::{Mode, World, pause, scenario_within};
use std::time::Duration;

/// Far above what a healthy member takes, below what a request waits for a connection.
const WAITED: Duration = Duration::from_millis(900);

#[test]
fn a_used_up_pool() {
    scenario_within(Duration::from_secs(90), |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = pool("max=1 acquire=1000 timeout=3");
        let builder = w.httpd().children(1).threads(25).live(&text);
        let httpd = start_pool(troubled(builder).expect("AH00941"), &[&a, &b]);
        a.mode(Mode::Hang);
        let load = httpd.load().clients(8).per_connection(1);
        let load = load.start();
        pause(6.0);
        let records = load.stop();
        let answered = records.0.iter().filter(|r| r.status == 200).count();
        let waited = records.0.iter().filter(|r| r.took > WAITED).count();
        // Each time probes release A some requests wait for its connection; not each request for ever.
        assert!(
            waited * 10 < answered,
            "{waited} waited, {answered} answered"
        );
        assert!(httpd.logged("AH00941") > 0, "the pool was never used up");
    });
}
