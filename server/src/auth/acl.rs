//! ACLs: checking them, accepting them from clients, showing them.

use std::{borrow::Cow, collections::BTreeSet, str};

use bytes::BytesMut;
use quorate_protocol::{
    AclList, Decoder, Encode, ErrorCode, Id, Perms,
    acl::AclEntry,
    codec::{DecodeError, PutJute},
    frame,
};

use super::{SUPER, Scheme, Schemes, digest, ip};

/// Whether one of `ids` may do any of `wanted` under the ACL whose encoded vector is `acl`.
/// An empty ACL is open: the server's own nodes have it. Nothing is decoded for the ACL that
/// nearly all nodes have, and nothing is allocated for any.
pub fn check(acl: &[u8], wanted: Perms, ids: &[Id]) -> bool {
    if acl == AclList::OPEN && Perms::ALL.intersects(wanted) {
        return true;
    }
    // Bytes that are no ACL cannot be in the tree; if they were, they would let nobody in.
    ids.iter().any(|id| id.scheme == SUPER) || lets_in(acl, wanted, ids).unwrap_or(false)
}

fn lets_in(acl: &[u8], wanted: Perms, ids: &[Id]) -> Result<bool, DecodeError> {
    let mut input = Decoder::new(acl);
    let count = input.int()?;
    if count <= 0 {
        return Ok(true);
    }
    for _ in 0..count {
        let perms = Perms(input.int()?);
        let scheme = input.buffer()?.unwrap_or_default();
        let id = input.buffer()?.unwrap_or_default();
        if !perms.intersects(wanted) {
            continue;
        }
        if scheme == b"world" && id == b"anyone" {
            return Ok(true);
        }
        if ids.iter().any(|own| own.scheme.as_bytes() == scheme && matches(own, id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the connection's identity is the one an ACL of the same scheme names.
fn matches(own: &Id, named: &[u8]) -> bool {
    match own.scheme.as_str() {
        "ip" => str::from_utf8(named).is_ok_and(|range| ip::matches(&own.id, range)),
        _ => own.id.as_bytes() == named,
    }
}

impl Schemes {
    /// The ACL to store for the list a client with the identities `ids` sent: entries that repeat
    /// an earlier one are dropped, and `auth` stands for each identity the client has
    /// authenticated. Bytes the client sent are used again where nothing has to change.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidAcl`] for a null or empty list, for an `auth` entry of a client that
    /// has not authenticated, and for an entry whose scheme is not known or whose id is not valid
    /// in its scheme; [`ErrorCode::MarshallingError`] for a null id of a scheme that is known. The
    /// first entry that is wrong decides.
    pub fn fix_up<'a>(&self, list: AclList<'a>, ids: &[Id]) -> Result<Cow<'a, [u8]>, ErrorCode> {
        if list.is_open() {
            return Ok(Cow::Borrowed(AclList::OPEN));
        }
        let raw = list.raw().ok_or(ErrorCode::InvalidAcl)?;
        let mut seen = BTreeSet::new();
        let mut changes = false;
        for entry in list.iter() {
            match (entry.scheme.as_deref(), entry.id.as_deref()) {
                (Some("world"), Some("anyone")) => {}
                (Some("auth"), _) if self.authenticated(ids).next().is_some() => changes = true,
                (Some(scheme), Some(id)) if self.is_valid(scheme, id) => {}
                // Compat: Java stumbles over a null id where it would look at it.
                (Some(scheme), None) if scheme == "world" || self.find(scheme).is_some() => {
                    return Err(ErrorCode::MarshallingError);
                }
                _ => return Err(ErrorCode::InvalidAcl),
            }
            let key = key(entry);
            // An owned text is malformed UTF-8, repaired: what is stored is what was checked.
            changes |= matches!(key, (_, Some(Cow::Owned(_)), _) | (_, _, Some(Cow::Owned(_))));
            changes |= !seen.insert(key);
        }
        if seen.is_empty() {
            return Err(ErrorCode::InvalidAcl);
        }
        if changes { self.rebuild(list, ids).map(Cow::Owned) } else { Ok(Cow::Borrowed(raw)) }
    }

    fn is_valid(&self, scheme: &str, id: &str) -> bool {
        match self.find(scheme) {
            Some(Scheme::Digest) => digest::is_valid(id),
            Some(Scheme::Ip) => ip::is_valid(id),
            None => false,
        }
    }

    /// The identities that a client has proved: neither its address nor `super`.
    fn authenticated<'a>(&self, ids: &'a [Id]) -> impl Iterator<Item = &'a Id> {
        ids.iter().filter(|id| self.find(&id.scheme) == Some(Scheme::Digest))
    }

    /// `list` without repeated entries and with the identities that `auth` stands for.
    ///
    /// Compat: what `auth` becomes is not compared with the other entries
    /// (`PrepRequestProcessor.fixupACL`).
    ///
    /// # Errors
    /// [`ErrorCode::InvalidAcl`] for many `auth` entries of a client with many identities, whose
    /// product is longer than any request may be.
    fn rebuild(&self, list: AclList<'_>, ids: &[Id]) -> Result<Vec<u8>, ErrorCode> {
        let mut entries = BytesMut::new();
        let mut count = 0;
        let mut seen = BTreeSet::new();
        for entry in list.iter() {
            let key = key(entry);
            if seen.contains(&key) {
                continue;
            }
            let (perms, scheme, id) = &key;
            if scheme.as_deref() == Some("auth") {
                for own in self.authenticated(ids) {
                    entries.put_int(*perms);
                    own.encode(&mut entries);
                    count += 1;
                }
            } else {
                entries.put_int(*perms);
                entries.put_buffer(scheme.as_ref().map(|scheme| scheme.as_bytes()));
                entries.put_buffer(id.as_ref().map(|id| id.as_bytes()));
                count += 1;
            }
            if entries.len() > frame::DEFAULT_LIMIT {
                return Err(ErrorCode::InvalidAcl);
            }
            seen.insert(key);
        }
        let mut rebuilt = Vec::with_capacity(4 + entries.len());
        rebuilt.put_len(count);
        rebuilt.extend_from_slice(&entries);
        Ok(rebuilt)
    }
}

/// What makes two entries the same.
fn key(entry: AclEntry<'_>) -> (i32, Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
    (entry.perms.0, entry.scheme, entry.id)
}

/// Appends the ACL whose encoded vector is `acl` as it is shown to a client that may read but not
/// administer the node: digest ids without their hash, which could be guessed from.
///
/// # Errors
/// When `acl` is no ACL; `out` then ends with part of it.
pub fn put_redacted(acl: &[u8], out: &mut BytesMut) -> Result<(), DecodeError> {
    let mut input = Decoder::new(acl);
    let count = input.int()?;
    out.put_int(count);
    for _ in 0..count {
        out.put_int(input.int()?);
        let scheme = input.buffer()?;
        let id = input.buffer()?;
        out.put_buffer(scheme);
        match id.and_then(|id| id.iter().position(|&byte| byte == b':').map(|end| &id[..end])) {
            Some(user) if scheme == Some(b"digest") => {
                out.put_len(user.len() + 2);
                out.extend_from_slice(user);
                out.extend_from_slice(b":x");
            }
            _ => out.put_buffer(id),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quorate_protocol::{Acl, Decode};

    use super::*;

    fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms: Perms(perms), id: Id::new(scheme, id) }
    }

    /// A list in which `""` for a scheme or id is null.
    fn list(entries: &[(i32, &str, &str)]) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_len(entries.len());
        for (perms, scheme, id) in entries {
            out.put_int(*perms);
            for text in [scheme, id] {
                out.put_buffer(Some(text.as_bytes()).filter(|text| !text.is_empty()));
            }
        }
        out
    }

    #[test]
    fn what_an_acl_lets_whom_do() {
        let ids = [Id::new("ip", "10.0.0.1"), Id::new("digest", "user:hash")];
        let root = [Id::new("ip", "10.0.0.1"), Id::new("super", "")];
        for (entries, wanted, user, super_user) in [
            (vec![], Perms::ADMIN, true, true),
            (vec![Acl::world(Perms::ALL)], Perms::ADMIN, true, true),
            (vec![Acl::world(Perms::READ)], Perms::READ, true, true),
            (vec![Acl::world(Perms::READ)], Perms::WRITE, false, true),
            (vec![Acl::world(Perms::READ)], Perms::READ.union(Perms::ADMIN), true, true),
            (vec![acl(0, "world", "anyone")], Perms::READ, false, true),
            (vec![acl(31, "world", "someone")], Perms::READ, false, true),
            (vec![acl(31, "digest", "user:hash")], Perms::WRITE, true, true),
            (vec![acl(31, "digest", "user:other")], Perms::WRITE, false, true),
            (vec![acl(31, "sasl", "user:hash")], Perms::WRITE, false, true),
            (vec![acl(31, "ip", "10.0.0.0/8")], Perms::WRITE, true, true),
            (vec![acl(31, "ip", "11.0.0.0/8")], Perms::WRITE, false, true),
            (vec![acl(31, "digest", "a:b"), Acl::world(Perms::READ)], Perms::READ, true, true),
            (
                vec![acl(1, "digest", "user:hash"), acl(2, "digest", "a:b")],
                Perms::WRITE,
                false,
                true,
            ),
        ] {
            let raw = entries.to_bytes();
            assert_eq!(check(&raw, wanted, &ids), user, "{entries:?} {wanted:?}");
            assert_eq!(check(&raw, wanted, &root), super_user, "{entries:?} {wanted:?}");
        }
        assert!(!check(b"", Perms::READ, &ids));
        assert!(!check(&[0, 0, 0, 1, 0], Perms::READ, &ids));
    }

    #[test]
    fn lists_of_clients_are_fixed_up() {
        let nobody = [Id::new("ip", "10.0.0.1"), Id::new("super", "")];
        let ids = [Id::new("ip", "10.0.0.1"), Id::new("digest", "u:h"), Id::new("digest", "v:h")];
        let anyone = (31, "world", "anyone");
        for (sent, by_nobody, by_users) in [
            (vec![], None, None),
            (vec![anyone], Some(vec![anyone]), Some(vec![anyone])),
            (vec![anyone, anyone], Some(vec![anyone]), Some(vec![anyone])),
            (
                vec![(1, "world", "anyone"), anyone, (1, "world", "anyone")],
                Some(vec![(1, "world", "anyone"), anyone]),
                Some(vec![(1, "world", "anyone"), anyone]),
            ),
            (vec![(31, "world", "someone")], None, None),
            (vec![(31, "", "anyone")], None, None),
            (vec![(31, "", "")], None, None),
            (vec![(31, "super", "")], None, None),
            (vec![(31, "super", "x")], None, None),
            (vec![(31, "foo", "bar")], None, None),
            (vec![(31, "digest", "u")], None, None),
            (vec![(31, "ip", "localhost")], None, None),
            (
                vec![(31, "ip", "127.0.0.1/8")],
                Some(vec![(31, "ip", "127.0.0.1/8")]),
                Some(vec![(31, "ip", "127.0.0.1/8")]),
            ),
            (
                vec![(99, "digest", "u:h")],
                Some(vec![(99, "digest", "u:h")]),
                Some(vec![(99, "digest", "u:h")]),
            ),
            (vec![(1, "auth", "")], None, Some(vec![(1, "digest", "u:h"), (1, "digest", "v:h")])),
            (vec![(1, "auth", "x")], None, Some(vec![(1, "digest", "u:h"), (1, "digest", "v:h")])),
            (
                vec![(1, "world", "anyone"), (31, "auth", ""), (31, "auth", "")],
                None,
                Some(vec![(1, "world", "anyone"), (31, "digest", "u:h"), (31, "digest", "v:h")]),
            ),
            (vec![(1, "auth", ""), (1, "foo", "bar")], None, None),
        ] {
            let bytes = list(&sent);
            let sent_list = AclList::from_bytes(&bytes).unwrap();
            let fix = |ids| Schemes::default().fix_up(sent_list, ids).map(Cow::into_owned);
            let wanted = |fixed: Option<Vec<_>>| {
                fixed.map(|fixed| list(&fixed).to_vec()).ok_or(ErrorCode::InvalidAcl)
            };
            assert_eq!(fix(&nobody), wanted(by_nobody), "{sent:?}");
            assert_eq!(fix(&ids), wanted(by_users), "{sent:?}");
        }
        let null = AclList::from_bytes(&[0xff; 4]).unwrap();
        assert_eq!(Schemes::default().fix_up(null, &ids), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn the_first_entry_that_is_wrong_decides() {
        for (sent, code) in [
            (vec![(31, "world", "")], ErrorCode::MarshallingError),
            (vec![(31, "digest", "")], ErrorCode::MarshallingError),
            (vec![(31, "ip", "")], ErrorCode::MarshallingError),
            (vec![(31, "foo", "")], ErrorCode::InvalidAcl),
            (vec![(31, "auth", ""), (31, "ip", "")], ErrorCode::InvalidAcl),
            (vec![(31, "ip", ""), (31, "auth", "")], ErrorCode::MarshallingError),
        ] {
            let bytes = list(&sent);
            let sent_list = AclList::from_bytes(&bytes).unwrap();
            assert_eq!(Schemes::default().fix_up(sent_list, &[]), Err(code), "{sent:?}");
        }
    }

    #[test]
    fn malformed_text_is_stored_as_it_was_understood() {
        let sent = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x06digest\0\0\0\x03u:\xff";
        let fixed = Schemes::default().fix_up(AclList::from_bytes(sent).unwrap(), &[]);
        assert_eq!(fixed.as_deref(), Ok(&list(&[(31, "digest", "u:\u{fffd}")])[..]));
    }

    #[test]
    fn a_list_does_not_grow_without_bounds() {
        let ids: Vec<_> = (0..1000).map(|i| Id::new("digest", format!("user{i}:hash"))).collect();
        for (entries, accepted) in [(1, true), (2000, false)] {
            let bytes = list(&(0..entries).map(|perms| (perms, "auth", "")).collect::<Vec<_>>());
            let sent = AclList::from_bytes(&bytes).unwrap();
            assert_eq!(Schemes::default().fix_up(sent, &ids).is_ok(), accepted, "{entries}");
        }
    }

    #[test]
    fn what_needs_no_change_is_not_copied() {
        let schemes = Schemes::default();
        for entries in
            [vec![(31, "world", "anyone")], vec![(31, "digest", "u:h"), (1, "ip", "::1")]]
        {
            let bytes = list(&entries);
            let fixed = schemes.fix_up(AclList::from_bytes(&bytes).unwrap(), &[]);
            assert!(matches!(fixed, Ok(Cow::Borrowed(_))));
        }
    }

    #[test]
    fn a_scheme_switched_off_has_no_valid_ids() {
        let off = Schemes { digest: None, ..Schemes::default() };
        let bytes = list(&[(31, "digest", "u:h")]);
        let sent = AclList::from_bytes(&bytes).unwrap();
        assert_eq!(off.fix_up(sent, &[Id::new("digest", "u:h")]), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn hashes_are_shown_to_administrators_only() {
        let stored = [acl(31, "digest", "user:hash"), acl(1, "ip", "::1"), acl(1, "digest", "odd")];
        let mut out = BytesMut::new();
        put_redacted(&stored.to_bytes(), &mut out).unwrap();
        let shown = [acl(31, "digest", "user:x"), acl(1, "ip", "::1"), acl(1, "digest", "odd")];
        assert_eq!(out, shown.to_bytes());
    }
}
