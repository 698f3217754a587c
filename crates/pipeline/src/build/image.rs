//! The OCI image of a commit. Everything that goes in comes from the commit, its time included, so that
//! building it again gives the same digest.

use crate::Outcome;
use crate::build::builder::Builder;
use crate::git::Git;
use crate::project::{cmd, root, run};
use crate::workflow;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Requirement C5, in bytes as the registry stores them.
const LIMIT: u64 = 200_000_000;
const USER: &str = "65532:65532";
const ENTRYPOINT: &str = "/waybill";

/// Build the OCI image of a commit.
///
/// Writes an OCI layout and image.json, which describes it. IMAGE_BUILD_ARGS adds build arguments to the
/// Dockerfile's, as `KEY=VALUE` separated by spaces.
#[derive(clap::Args)]
pub(crate) struct Image {
    #[command(flatten)]
    folder: Folder,
    /// What builds it [default: IMAGE_BUILDER, or else dockerfile]
    #[arg(long, value_enum)]
    builder: Option<Builder>,
    /// Build the image that is there once more, with nothing of this project's cached, and compare
    #[arg(long, conflicts_with_all = ["builder", "test"])]
    reproduce: bool,
    /// Run the service's tests on the binary of the image that is there
    #[arg(long, conflicts_with = "builder")]
    test: bool,
}

/// Where a built image is.
#[derive(clap::Args)]
pub(crate) struct Folder {
    /// The folder of the built image
    #[arg(long = "image", default_value = "target/image", value_name = "FOLDER")]
    path: PathBuf,
}

impl Folder {
    pub(crate) fn layout(&self) -> PathBuf {
        self.path.join("layout")
    }

    fn description(&self) -> PathBuf {
        self.path.join("image.json")
    }

    /// What is in the image, as CycloneDX.
    pub(crate) fn bill(&self) -> PathBuf {
        self.path.join("sbom.cdx.json")
    }

    /// The layout as skopeo and buildah name it.
    pub(crate) fn reference(&self) -> String {
        format!("oci:{}:image", self.layout().display())
    }
}

impl Image {
    pub(crate) fn run(&self) -> Outcome {
        let root = root()?;
        let folder = Folder {
            path: root.join(&self.folder.path),
        };
        if self.test {
            test(&root, &folder)
        } else if self.reproduce {
            reproduce(&root, &folder)
        } else {
            make(&root, &folder, self.builder()?)
        }
    }

    fn builder(&self) -> Result<Builder> {
        match (self.builder, workflow::var("IMAGE_BUILDER")) {
            (Some(builder), _) => Ok(builder),
            (None, Some(name)) => named(&name).context("IMAGE_BUILDER names no builder"),
            (None, None) => Ok(Builder::Dockerfile),
        }
    }
}

fn named(builder: &str) -> Result<Builder> {
    Builder::from_str(builder, false)
        .map_err(|_| anyhow!("`{builder}` is neither `nix` nor `dockerfile`"))
}

fn make(root: &Path, folder: &Folder, builder: Builder) -> Outcome {
    let source = Source::read(&Git::new(root))?;
    if folder.path.exists() {
        std::fs::remove_dir_all(&folder.path)
            .with_context(|| format!("cannot empty {}", folder.path.display()))?;
    }
    std::fs::create_dir_all(&folder.path)
        .with_context(|| format!("cannot make {}", folder.path.display()))?;
    builder.build(root, &source, folder)?;

    let built = Built::inspect(&folder.layout())?;
    built.check(&builder.labels(&source))?;
    let description = built.describe(&source, builder)?;
    std::fs::write(folder.description(), format!("{description:#}\n"))
        .with_context(|| format!("cannot write {}", folder.description().display()))?;
    let megabytes = built.size as f64 / 1e6;
    println!(
        "image {} of commit {}: {megabytes:.1} MB compressed",
        built.digest, source.commit
    );
    workflow::output("digest", &built.digest)?;
    workflow::summary(&format!(
        "**Image:** `{}`, {megabytes:.1} MB compressed",
        built.digest
    ))
}

/// The same commit by the same builder must give the same bytes.
fn reproduce(root: &Path, folder: &Folder) -> Outcome {
    let first = Description::read(folder)?;
    let source = Source::read(&Git::new(root))?;
    ensure!(
        first.revision == source.commit,
        "the image was built from {}, but {} is checked out: build it anew with `cargo pipeline image`",
        first.revision,
        source.commit
    );
    let place = tempfile::tempdir_in(&folder.path).context("cannot make a temporary folder")?;
    let again = Folder {
        path: place.path().to_owned(),
    };
    named(&first.builder)?.rebuild(root, &source, &again)?;
    let second = Built::inspect(&again.layout())?.digest;
    ensure!(
        second == first.digest,
        "building {} again gave {second}, not {}: something that is not in the commit goes into the image",
        source.commit,
        first.digest
    );
    println!("built twice by {}: both are {second}", first.builder);
    workflow::summary(&format!("**Reproduced:** `{second}`"))
}

/// The tests are compiled with what the image was built from, so `/version` must answer with it.
fn test(root: &Path, folder: &Folder) -> Outcome {
    let image = Description::read(folder)?;
    let built = Built::inspect(&folder.layout())?;
    let files = tempfile::tempdir().context("cannot make a temporary folder")?;
    for layer in &built.layers {
        let mut tar = cmd("tar", ["--extract", "--no-same-owner", "--file"]);
        run(tar.arg(layer).arg("--directory").arg(files.path()))?;
    }
    let binary = files.path().join(ENTRYPOINT.trim_start_matches('/'));
    ensure!(binary.is_file(), "the image has no {ENTRYPOINT}");
    let mut tests = cmd(
        "cargo",
        ["test", "--package", "waybill", "--locked", "--test", "api"],
    );
    run(tests
        .current_dir(root)
        .env("WAYBILL_TEST_BINARY", binary)
        .env("WAYBILL_COMMIT", &image.revision)
        .env("WAYBILL_BUILT_AT", &image.created))?;
    println!("the tests pass on {}", image.digest);
    Ok(())
}

/// What a build is made from.
pub(crate) struct Source {
    pub(crate) commit: String,
    /// The commit's time, in seconds and as RFC 3339.
    pub(crate) epoch: String,
    pub(crate) created: String,
}

impl Source {
    fn read(git: &Git) -> Result<Self> {
        let show = |format: &str| {
            let mut show = git.command(&[
                "show",
                "--no-patch",
                "--no-show-signature",
                "--date=format-local:%Y-%m-%dT%H:%M:%SZ",
                format,
                "HEAD",
            ]);
            crate::project::read(show.env("TZ", "UTC"))
        };
        if !git
            .read(&["status", "--porcelain", "--untracked-files=no"])?
            .is_empty()
        {
            eprintln!("warning: the image will have changes that are not in its commit");
        }
        Ok(Self {
            commit: show("--format=%H")?,
            epoch: show("--format=%ct")?,
            created: show("--format=%cd")?,
        })
    }

    /// The OCI annotations that this crate vouches for; the Dockerfile adds the timeless ones.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        let source = workflow::repository_url();
        [
            ("title", Some("waybill")),
            ("version", Some(env!("CARGO_PKG_VERSION"))),
            ("revision", Some(self.commit.as_str())),
            ("created", Some(self.created.as_str())),
            ("source", source.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| {
            Some((
                format!("org.opencontainers.image.{name}"),
                value?.to_owned(),
            ))
        })
        .collect()
    }
}

/// What was built, as its layout says.
struct Built {
    digest: String,
    size: u64,
    config: Value,
    layers: Vec<PathBuf>,
}

impl Built {
    fn inspect(layout: &Path) -> Result<Self> {
        let index = read_json(&layout.join("index.json"))?;
        let manifests = index.pointer("/manifests").and_then(Value::as_array);
        let [descriptor] = manifests.map(Vec::as_slice).unwrap_or_default() else {
            bail!("{} doesn't hold exactly one image", layout.display());
        };
        let manifest = read_json(&blob(layout, descriptor)?)?;
        let config = manifest
            .get("config")
            .context("the manifest has no configuration")?;
        let layers = manifest.get("layers").and_then(Value::as_array);
        let layers = layers.context("the manifest has no layers")?;
        let parts = layers.iter().chain([config, descriptor]);
        Ok(Self {
            digest: text(descriptor, "digest")?.to_owned(),
            size: parts.filter_map(|part| part.get("size")?.as_u64()).sum(),
            config: read_json(&blob(layout, config)?)?,
            layers: layers
                .iter()
                .map(|layer| blob(layout, layer))
                .collect::<Result<_>>()?,
        })
    }

    /// What everybody downstream relies on; an image that broke it must not get any further.
    fn check(&self, labels: &[(String, String)]) -> Result<()> {
        ensure!(
            self.size <= LIMIT,
            "the image has {} bytes compressed, more than the {LIMIT} allowed",
            self.size
        );
        let config = self.config.get("config").unwrap_or(&Value::Null);
        let has = |key: &str, expected: Value| {
            let found = config.get(key).unwrap_or(&Value::Null);
            ensure!(
                *found == expected,
                "the image's {key} is {found}, not {expected}"
            );
            Ok(())
        };
        has("User", json!(USER))?;
        has("Entrypoint", json!([ENTRYPOINT]))?;
        for (name, value) in labels {
            let found = config.get("Labels").and_then(|labels| labels.get(name));
            ensure!(
                found.and_then(Value::as_str) == Some(value),
                "the image's label {name} is {}, not \"{value}\"",
                found.unwrap_or(&Value::Null)
            );
        }
        Ok(())
    }

    fn describe(&self, source: &Source, builder: Builder) -> Result<Value> {
        let builder = builder.to_possible_value();
        Ok(json!({
            "digest": self.digest,
            "size": self.size,
            "revision": source.commit,
            "created": source.created,
            "version": env!("CARGO_PKG_VERSION"),
            "builder": builder.context("a builder without a name")?.get_name(),
        }))
    }
}

/// An image that `image` built.
pub(crate) struct Description {
    pub(crate) digest: String,
    pub(crate) revision: String,
    /// The time of that commit.
    pub(crate) created: String,
    pub(crate) builder: String,
}

impl Description {
    pub(crate) fn read(folder: &Folder) -> Result<Self> {
        let value = read_json(&folder.description())
            .context("there is no built image here: `cargo pipeline image` makes one")?;
        let built = Built::inspect(&folder.layout())?;
        let digest = text(&value, "digest")?.to_owned();
        ensure!(
            built.digest == digest,
            "{} doesn't describe the image beside it",
            folder.description().display()
        );
        Ok(Self {
            digest,
            revision: text(&value, "revision")?.to_owned(),
            created: text(&value, "created")?.to_owned(),
            builder: text(&value, "builder")?.to_owned(),
        })
    }
}

fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = text(descriptor, "digest")?;
    Ok(layout.join("blobs").join(digest.replace(':', "/")))
}

fn read_json(file: &Path) -> Result<Value> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", file.display()))
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str> {
    let text = value.get(key).and_then(Value::as_str);
    text.with_context(|| format!("`{key}` is missing"))
}
