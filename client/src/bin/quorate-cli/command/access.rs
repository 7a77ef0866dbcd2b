use std::{fmt, str::FromStr};

use clap::Args;
use quorate_client::{Acl, Id, Perms};
use serde::{Deserialize, Serialize};

use crate::{
    failure::{Failure, Outcome},
    output::{StatView, escape, note},
    session::Context,
    walk::{self, Want},
};

/// A list as it is typed: `scheme:id:permissions,...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AclList(pub(super) Vec<Acl>);

/// An entry in documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AclView {
    scheme: String,
    id: String,
    perms: String,
}

/// Shows who may do what with a node.
#[derive(Debug, Args)]
pub(crate) struct GetAcl {
    /// Show the Stat too.
    #[arg(short = 's')]
    stat: bool,
    path: String,
}

/// Says who may do what with a node.
#[derive(Debug, Args)]
pub(crate) struct SetAcl {
    /// Show the Stat; not with -R.
    #[arg(short = 's')]
    stat: bool,
    /// Only if the ACL has this version.
    #[arg(short = 'v', default_value_t = -1, allow_negative_numbers = true)]
    version: i32,
    /// All nodes below as well.
    #[arg(short = 'R')]
    recursive: bool,
    path: String,
    /// `scheme:id:permissions,...`, permissions being letters of cdrwa.
    acl: AclList,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a str,
    acl: Vec<AclView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stat: Option<StatView>,
}

impl GetAcl {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let answer = context.client().await?.acl(&self.path).await?;
        let stat = self.stat.then(|| answer.stat.into());
        let acl: Vec<_> = answer.acl.iter().map(AclView::from).collect();
        context.screen.answer(&Document { path: &self.path, acl, stat }, |screen| {
            for entry in &answer.acl {
                // `Compat:` Java writes an identity as 'scheme,'id and a line feed.
                let (scheme, id) = (escape::name(&entry.id.scheme), escape::name(&entry.id.id));
                screen.line(&format!("'{scheme},'{id}\n: {}", entry.perms))?;
            }
            if self.stat { screen.stat(&answer.stat) } else { Ok(()) }
        })?;
        Ok(())
    }
}

impl SetAcl {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let AclList(acl) = &self.acl;
        if self.recursive {
            let tree = walk::read(&client, &self.path, Want::default()).await?;
            let mut refused: Option<Failure> = None;
            for entry in tree.preorder() {
                match client.set_acl(&entry.path, acl).version(self.version).await {
                    Ok(_) => {}
                    // `Compat:` the others are changed all the same. The first refusal is said last.
                    Err(error) if error.code().is_some() => {
                        let failure = Failure::from(error);
                        if refused.is_some() {
                            note(&failure.message().unwrap_or_default());
                        }
                        refused.get_or_insert(failure);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            return refused.map_or_else(|| tree.check(), Err);
        }
        let stat = client.set_acl(&self.path, acl).version(self.version).await?;
        if self.stat {
            context.screen.answer(&StatView::from(stat), |screen| screen.stat(&stat))?;
        }
        Ok(())
    }
}

impl FromStr for AclList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(entry).collect::<Result<_, _>>().map(Self)
    }
}

/// `scheme:id:permissions`; the id may hold colons.
fn entry(text: &str) -> Result<Acl, String> {
    let parts = text.split_once(':').zip(text.rsplit_once(':'));
    let ((scheme, rest), (_, perms)) = parts
        .filter(|((_, rest), (_, perms))| rest != perms)
        .ok_or_else(|| format!("{} does not have the form scheme:id:perm", escape::name(text)))?;
    let id = &rest[..rest.len() - perms.len() - 1];
    Ok(Acl { perms: permissions(perms)?, id: Id::new(scheme, id) })
}

fn permissions(letters: &str) -> Result<Perms, String> {
    letters.chars().try_fold(Perms(0), |perms, letter| {
        Ok(perms.union(match letter {
            'c' => Perms::CREATE,
            'd' => Perms::DELETE,
            'r' => Perms::READ,
            'w' => Perms::WRITE,
            'a' => Perms::ADMIN,
            other => return Err(format!("Unknown perm type: {other:?} (letters of cdrwa)")),
        }))
    })
}

impl From<&Acl> for AclView {
    fn from(acl: &Acl) -> Self {
        let Id { scheme, id } = acl.id.clone();
        Self { scheme, id, perms: acl.perms.to_string() }
    }
}

impl fmt::Display for AclView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, id, perms } = self;
        write!(f, "{}:{}:{perms}", escape::name(scheme), escape::name(id))
    }
}

impl TryFrom<&AclView> for Acl {
    type Error = String;

    fn try_from(view: &AclView) -> Result<Self, String> {
        Ok(Self { perms: permissions(&view.perms)?, id: Id::new(&view.scheme, &view.id) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_those_of_zkcli() {
        let AclList(acl) = "world:anyone:cdrwa,auth:user:pass:r,ip:10.0.0.0/8:".parse().unwrap();
        assert_eq!(acl[0], Acl::world(Perms::ALL));
        assert_eq!(acl[1], Acl { perms: Perms::READ, id: Id::new("auth", "user:pass") });
        assert_eq!(acl[2].perms, Perms(0));
        assert_eq!(
            acl.iter().map(|acl| Acl::try_from(&AclView::from(acl)).unwrap()).collect::<Vec<_>>(),
            acl
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("world", "world does not have the form"),
            ("world:anyone", "does not have the form"),
            ("world:anyone:rx", "'x'"),
            ("", "does not have the form"),
        ] {
            let error = text.parse::<AclList>().unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }
}
