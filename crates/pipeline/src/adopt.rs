//! `cargo pipeline adopt`: gives a clone of this repository another owner and another name.

use crate::project::paths;
use anyhow::{Context, Result, ensure};
use devkit::delivery::Delivery;
use devkit::git::Git;
use devkit::process::{Run, command};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that keep the old name: what was, and who wrote it.
const KEPT: [&str; 2] = ["CHANGELOG.md", "LICENSE"];

/// The longest name: `<name>-<environment>` must fit into the 63 characters of a Kubernetes name.
const NAME_LENGTH: usize = 40;

/// Give the project your owner and your name.
///
/// Changes the owner and the name in every tracked file, moves the files that carry the name, and updates Cargo.lock and
/// the formatting. Nothing is committed: review the result with `git diff HEAD`. Only CHANGELOG.md and LICENSE keep the
/// old name.
#[derive(clap::Args)]
pub(crate) struct Adopt {
    /// Owner of your repository on the forge: a user or an organisation
    #[arg(long)]
    owner: String,
    /// Name of your project, which its repository, chart, image and Applications get
    #[arg(long)]
    name: String,
    /// Show the changes without making them
    #[arg(long)]
    dry_run: bool,
}

impl Adopt {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = crate::project::root()?;
        let old = Delivery::load(&root)?;
        let new = Identity::new(&self.owner, &self.name)?;
        let old = Identity::new(&old.owner, &old.name)?;
        ensure!(
            old != new,
            "the project is {}/{} already",
            self.owner,
            self.name
        );
        let changes = Changes::collect(&root, &old, &new)?;
        print!("{changes}");
        if self.dry_run {
            println!("\nNothing was changed: this was a dry run.");
            return Ok(());
        }
        is_clean(&root)?;
        changes.apply(&root).context(
            "the project is only partly renamed; `git reset --hard` restores what it was",
        )?;
        println!(
            "\nThe project is now {}/{}. Next:\n  \
             git diff HEAD                       review the changes\n  \
             cargo pipeline test --skip lab      run the checks\n  \
             docs/github.md                      set up the repository on GitHub",
            self.owner, self.name
        );
        Ok(())
    }
}

fn is_clean(root: &Path) -> Result<()> {
    let changes = Git::new(root).changes()?;
    ensure!(
        changes.is_empty(),
        "{} files have uncommitted changes; commit or stash them first, so that the rename can be reviewed and undone",
        changes.len()
    );
    Ok(())
}

/// Who owns a project and what it is called.
#[derive(Debug, PartialEq)]
struct Identity {
    owner: String,
    name: String,
}

impl Identity {
    fn new(owner: &str, name: &str) -> Result<Self> {
        let allowed = |text: &str| {
            let mut bytes = text.bytes();
            bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !text.ends_with('-')
                && !text.contains("--")
        };
        ensure!(
            allowed(owner) && owner.starts_with(|c: char| c.is_ascii_alphanumeric()),
            "`{owner}` cannot be the owner: use lower-case letters, digits and single hyphens; registries refuse capitals"
        );
        ensure!(
            allowed(name)
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.len() <= NAME_LENGTH,
            "`{name}` cannot be the name: use at most {NAME_LENGTH} lower-case letters, digits and single hyphens, and \
             begin with a letter; it becomes a Kubernetes name and a Rust package"
        );
        Ok(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// `my_shop`, as in identifiers and metrics.
    fn snake(&self) -> String {
        self.name.replace('-', "_")
    }

    /// `My shop`, as in prose.
    fn title(&self) -> String {
        let mut title = self.name.replace('-', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        title
    }

    /// What to replace by what, in this order: a longer text first, so that no part of it is taken for another.
    fn replacements(&self, new: &Self) -> Vec<(String, String)> {
        let owned = |format: &dyn Fn(&Self) -> String| (format(self), format(new));
        let mut all = vec![
            owned(&|it| format!("{}/{}", it.owner, it.name)),
            owned(&|it| format!("@{}/", it.owner)),
            owned(&|it| format!("owner = \"{}\"", it.owner)),
            owned(&|it| format!("owner={}", it.owner)),
            owned(&|it| format!("{}_", it.snake())),
            owned(&|it| format!("{}::", it.snake())),
            owned(&|it| it.snake().to_uppercase()),
            owned(&Self::title),
            owned(&|it| it.name.clone()),
        ];
        all.retain(|(old, new)| old != new);
        all
    }
}

/// `text` with the first of the replacements that fits at each place. What was replaced is not looked at again.
fn replace(text: &str, replacements: &[(String, String)]) -> (String, usize) {
    let (mut result, mut count, mut rest) = (String::with_capacity(text.len()), 0, text);
    while let Some(next) = rest.chars().next() {
        match replacements.iter().find(|(old, _)| rest.starts_with(old)) {
            Some((old, new)) => {
                result.push_str(new);
                rest = &rest[old.len()..];
                count += 1;
            }
            None => {
                result.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    (result, count)
}

/// What a rename does, worked out before anything is written.
struct Changes {
    /// The new content of files, by their present path, with the number of places that differ.
    contents: BTreeMap<PathBuf, (String, usize)>,
    /// Present and new paths.
    moves: BTreeMap<PathBuf, PathBuf>,
}

impl Changes {
    fn collect(root: &Path, old: &Identity, new: &Identity) -> Result<Self> {
        let replacements = old.replacements(new);
        let listed = Git::new(root).read_bytes(&["ls-files", "-z"])?;
        let mut changes = Self {
            contents: BTreeMap::new(),
            moves: BTreeMap::new(),
        };
        for file in paths(&listed) {
            let path = root.join(&file);
            if KEPT.iter().any(|kept| file == Path::new(kept)) || path.is_symlink() {
                continue;
            }
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", file.display()))?;
            // What is not text holds no name that a person wrote.
            if let Ok(text) = String::from_utf8(bytes) {
                let (text, count) = replace(&text, &replacements);
                if count > 0 {
                    changes.contents.insert(file.clone(), (text, count));
                }
            }
            // A path that is not UTF-8 holds no name either.
            let (target, count) = replace(file.to_str().unwrap_or_default(), &replacements);
            if count > 0 {
                ensure!(
                    !root.join(&target).exists(),
                    "{} cannot become {target}, which exists already",
                    file.display()
                );
                changes.moves.insert(file, target.into());
            }
        }
        Ok(changes)
    }

    fn apply(&self, root: &Path) -> Result<()> {
        for (file, (text, _)) in &self.contents {
            fs::write(root.join(file), text)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        for (file, target) in &self.moves {
            if let Some(folder) = target.parent() {
                fs::create_dir_all(root.join(folder))
                    .with_context(|| format!("cannot create {}", folder.display()))?;
            }
            let mut git = Git::new(root).command(&["mv"]);
            git.args([file, target]).run_quietly()?;
        }
        // The order of packages in Cargo.lock and the width of lines depend on the name.
        for args in [
            &["update", "--workspace", "--offline"][..],
            &["fmt", "--all"],
        ] {
            command("cargo", args).current_dir(root).run_quietly()?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (file, (_, count)) in &self.contents {
            let places = if *count == 1 { "place" } else { "places" };
            writeln!(f, "change  {} ({count} {places})", file.display())?;
        }
        for (file, target) in &self.moves {
            writeln!(f, "move    {} -> {}", file.display(), target.display())?;
        }
        writeln!(
            f,
            "{} files change, {} move; {} keep the old name",
            self.contents.len(),
            self.moves.len(),
            KEPT.join(" and ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(text: &str, name: &str) -> String {
        let old = Identity::new("parcel", "parcel").unwrap();
        let new = Identity::new("acme", name).unwrap();
        replace(text, &old.replacements(&new)).0
    }

    #[test]
    fn the_owner_and_the_name_are_told_apart() {
        for (text, expected) in [
            ("ghcr.io/parcel/parcel@sha256", "ghcr.io/acme/shop@sha256"),
            ("/argocd/ @parcel/maintainers", "/argocd/ @acme/maintainers"),
            (
                "owner = \"parcel\"\nname = \"parcel\"",
                "owner = \"acme\"\nname = \"shop\"",
            ),
            ("charts/parcel/values.yaml", "charts/shop/values.yaml"),
            ("a parcel-dev b", "a shop-dev b"),
            (
                "home: https://github.com/parcel/parcel\nmaintainers:\n  - name: The Parcel maintainers",
                "home: https://github.com/acme/shop\nmaintainers:\n  - name: The Shop maintainers",
            ),
        ] {
            assert_eq!(renamed(text, "shop"), expected);
        }
    }

    #[test]
    fn each_way_to_write_the_name_is_kept() {
        for (text, expected) in [
            ("PARCEL_LOG_LEVEL", "MY_SHOP_LOG_LEVEL"),
            ("use parcel::config;", "use my_shop::config;"),
            ("parcel_http_requests_total", "my_shop_http_requests_total"),
            ("CARGO_BIN_EXE_parcel\"", "CARGO_BIN_EXE_my-shop\""),
            ("# Parcel\n", "# My shop\n"),
            ("name: parcel", "name: my-shop"),
            ("größe", "größe"),
        ] {
            assert_eq!(renamed(text, "my-shop"), expected);
        }
    }

    #[test]
    fn a_name_may_hold_the_old_one() {
        assert_eq!(
            renamed("parcel/parcel parcel", "parcel-two"),
            "acme/parcel-two parcel-two"
        );
    }

    #[test]
    fn a_path_that_is_not_utf_8_stays() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let folder = tempfile::tempdir().unwrap();
        let path = Path::new(OsStr::from_bytes(b"caf\xe9.md"));
        fs::write(folder.path().join(path), "parcel\n").unwrap();
        for args in [&["init", "--quiet"][..], &["add", "--all"]] {
            Git::new(folder.path()).read(args).unwrap();
        }
        let old = Identity::new("parcel", "parcel").unwrap();
        let new = Identity::new("acme", "shop").unwrap();
        let changes = Changes::collect(folder.path(), &old, &new).unwrap();
        assert_eq!(changes.contents[path].0, "shop\n");
        assert!(changes.moves.is_empty());
    }

    #[test]
    fn a_name_that_kubernetes_or_cargo_refuses_is_refused_here() {
        let long = "a".repeat(NAME_LENGTH + 1);
        for name in [
            "", "Shop", "1shop", "-shop", "shop-", "my--shop", "my_shop", "a b", "é", &long,
        ] {
            assert!(Identity::new("acme", name).is_err(), "{name}");
        }
        for owner in ["", "Acme", "a/b", "-a", "a.b"] {
            assert!(Identity::new(owner, "shop").is_err(), "{owner}");
        }
    }
}
