//! The whole chain through the two commands: receivers, Redis and workers are killed under load.

use crate::support::redis::Redis;
use crate::support::trial;

/// `cargo bench --bench chain -- --seconds 600` does it for longer.
#[test]
fn kills_of_each_lose_nothing_and_double_nothing() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let enough = |kills: &[usize; 3]| kills.iter().all(|kills| *kills >= 4);
    let sums = trial::run(&mut redis, &folder.path().join("mail"), std::process::id().into(), 40, enough);
    assert!(sums.are_good(), "{sums}");
    assert!(sums.acknowledged >= 12, "{sums}");
}
