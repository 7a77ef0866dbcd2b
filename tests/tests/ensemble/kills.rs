//! Servers of both kinds that are killed at random while clients write.
//!
//! `QUORATE_KILLS` says how many are killed, `QUORATE_KILLS_SEED` which and when.

use quorate_tests::asked::number;

use crate::{
    LONG_SESSIONS, are_installed, assert_same_digests, load::Load, same_tree, start_led_by_last,
};

const KILLS: u64 = 4;
/// After so many the clients rest, and the trees are compared.
const ROUND: u64 = 10;

#[test]
fn two_java_and_a_quorate_survive_kills() {
    survive("QJJ");
}

#[test]
fn two_quorate_and_a_java_survive_kills() {
    survive("JQQ");
}

/// Two of the older Java would not: one that joins the other under load may lose transactions by
/// itself (ZOOKEEPER-4394, ZOOKEEPER-4646).
#[test]
fn two_quorate_and_an_older_java_survive_kills() {
    survive("DQQ");
}

/// Any server is killed, sometimes two at a time, and comes back; nothing promised is lost, no
/// session expires, all trees are the same.
fn survive(kinds: &str) {
    if !are_installed(kinds) {
        return;
    }
    let kills = number("QUORATE_KILLS").unwrap_or(KILLS);
    let mut random = fastrand::Rng::with_seed(number("QUORATE_KILLS_SEED").unwrap_or(1));
    let mut ensemble = start_led_by_last(kinds, &[LONG_SESSIONS]);
    let mut done = 0;
    while done < kills {
        let load = Load::start(&ensemble);
        for _ in 0..ROUND.min(kills - done) {
            load.wait_for(random.usize(1..200));
            let mut victims: Vec<_> = ensemble.ids().collect();
            random.shuffle(&mut victims);
            // Without a majority nothing goes on until they are back.
            victims.truncate(if random.u8(..4) == 0 { 2 } else { 1 });
            for &id in &victims {
                assert_same_digests(&ensemble, id);
                ensemble.kill(id);
            }
            if victims.len() == 1 {
                load.wait_for(random.usize(1..100));
            }
            ensemble.restart(&victims);
            done += 1;
        }
        load.wait_for(20);
        let promised = load.stop();
        promised.check(&same_tree(&ensemble));
    }
}
