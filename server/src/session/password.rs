//! How a client proves that a session is its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use quorate_protocol::SessionId;
use sha2::Sha256;

/// Bytes of a session's password. The C client takes no other number.
pub const PASSWORD_SIZE: usize = 16;

/// What a session's password is made from. It is a function of the session's id, so that any
/// server of an ensemble can check it without having been told.
#[derive(Clone)]
pub enum Passwords {
    /// HMAC-SHA256 of the id under a secret that only the ensemble's servers know.
    Keyed(Hmac<Sha256>),
    /// As [`Keyed`](Self::Keyed). Of these sessions, which clients have begun at ZooKeeper's servers,
    /// ZooKeeper's passwords are good, too: they have no others until they connect.
    Inheriting(Hmac<Sha256>, Arc<BTreeSet<SessionId>>),
    /// ZooKeeper's own function, for an ensemble that has ZooKeeper servers in it. Whoever knows a
    /// session's id can compute it, so it only guards against mistakes.
    ZooKeeper,
}

impl Passwords {
    /// Passwords under a secret of any length.
    pub fn keyed(secret: &[u8]) -> Self {
        Self::Keyed(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// These passwords, for a server that goes on with such sessions of ZooKeeper's.
    #[must_use]
    pub fn inheriting(self, sessions: BTreeSet<SessionId>) -> Self {
        match self {
            Self::Keyed(key) if !sessions.is_empty() => Self::Inheriting(key, Arc::new(sessions)),
            passwords => passwords,
        }
    }

    /// The password of a session.
    pub fn of(&self, session: SessionId) -> [u8; PASSWORD_SIZE] {
        match self {
            Self::Keyed(key) | Self::Inheriting(key, _) => {
                let mac = mac(key, session).finalize().into_bytes();
                *mac.first_chunk().expect("SHA-256 has more bytes than a password")
            }
            Self::ZooKeeper => zookeeper(session),
        }
    }

    /// Whether a client that claims `session` sent its password. How long the answer takes does
    /// not tell how much of a guess was right.
    pub fn verify(&self, session: SessionId, password: &[u8]) -> bool {
        if session == SessionId::NONE || password.len() != PASSWORD_SIZE {
            return false;
        }
        match self {
            Self::Keyed(key) => mac(key, session).verify_truncated_left(password).is_ok(),
            Self::Inheriting(key, inherited) => {
                mac(key, session).verify_truncated_left(password).is_ok()
                    || (inherited.contains(&session) && password == zookeeper(session))
            }
            Self::ZooKeeper => password == zookeeper(session),
        }
    }
}

impl std::fmt::Debug for Passwords {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keyed(_) => "Keyed",
            Self::Inheriting(..) => "Inheriting",
            Self::ZooKeeper => "ZooKeeper",
        })
    }
}

fn mac(key: &Hmac<Sha256>, session: SessionId) -> Hmac<Sha256> {
    let mut mac = key.clone();
    mac.update(&session.0.to_be_bytes());
    mac
}

/// Compat: `SessionTracker`'s `new Random(id ^ superSecret).nextBytes(16)`, with the generator of
/// `java.util.Random`.
fn zookeeper(session: SessionId) -> [u8; PASSWORD_SIZE] {
    const SUPER_SECRET: i64 = 0xb341_5c00;
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = ((session.0 ^ SUPER_SECRET).cast_unsigned() ^ MULTIPLIER) & MASK;
    let mut password = [0; PASSWORD_SIZE];
    for word in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xb) & MASK;
        // The upper 32 of the 48 bits, lowest byte first.
        word.copy_from_slice(&(state >> 16).to_le_bytes()[..4]);
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_zookeepers_are_continued_with_either_password() {
        let (old, new) = (SessionId(0x0100_0abc_def0_0001), SessionId(0x0100_0abc_def0_0002));
        let keyed = Passwords::keyed(b"secret");
        let both = keyed.clone().inheriting(BTreeSet::from([old]));
        assert!(both.verify(old, &zookeeper(old)) && both.verify(old, &keyed.of(old)));
        assert!(both.verify(new, &keyed.of(new)) && !both.verify(new, &zookeeper(new)));
        assert_eq!(both.of(old), keyed.of(old));
        assert!(!both.verify(old, &keyed.of(new)));
    }

    #[test]
    fn zookeepers_passwords() {
        for (id, password) in [
            (0x0100_0abc_def0_0001, 0xf517_65ae_67a7_2603_85ec_b221_bc63_056c_u128),
            (1, 0x054c_c74a_3732_7db2_15e7_02e2_0c73_f005),
        ] {
            let of_it = Passwords::ZooKeeper.of(SessionId(id));
            assert_eq!(u128::from_be_bytes(of_it), password);
            assert!(Passwords::ZooKeeper.verify(SessionId(id), &of_it));
        }
    }

    #[test]
    fn a_password_fits_one_session_and_one_secret() {
        let keyed = Passwords::keyed(b"secret");
        let password = keyed.of(SessionId(7));
        assert_eq!(password, Passwords::keyed(b"secret").of(SessionId(7)));
        assert!(keyed.verify(SessionId(7), &password));
        assert!(!keyed.verify(SessionId(8), &password));
        assert!(!Passwords::keyed(b"other").verify(SessionId(7), &password));
        for passwords in [keyed, Passwords::ZooKeeper] {
            let password = passwords.of(SessionId(7));
            assert!(!passwords.verify(SessionId(7), &password[..15]));
            assert!(!passwords.verify(SessionId(7), b""));
            let mut mangled = password;
            mangled[15] ^= 1;
            assert!(!passwords.verify(SessionId(7), &mangled));
            assert!(!passwords.verify(SessionId::NONE, &passwords.of(SessionId::NONE)));
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Passwords::keyed(b"secret")), "Keyed");
    }
}
