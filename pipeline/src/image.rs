//! The OCI image of a commit. Everything that goes in comes from the commit, its time included, so that
//! building it again gives the same digest.

use crate::Outcome;
use crate::forge;
use crate::git::Git;
use crate::process::{cmd, find, root, run};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Requirement C5, in bytes as the registry stores them.
const LIMIT: u64 = 200_000_000;
const USER: &str = "65532:65532";
const ENTRYPOINT: &str = "/waybill";

/// Build the OCI image of a commit.
///
/// Writes an OCI layout and image.json, which describes it. IMAGE_BUILD_ARGS adds build arguments, as
/// `KEY=VALUE` separated by spaces.
#[derive(clap::Args)]
pub(crate) struct Image {
    #[command(flatten)]
    folder: Folder,
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
        let source = Source::read(&Git::new(&root))?;
        let folder = Folder {
            path: root.join(&self.folder.path),
        };
        if folder.path.exists() {
            std::fs::remove_dir_all(&folder.path)
                .with_context(|| format!("cannot empty {}", folder.path.display()))?;
        }
        std::fs::create_dir_all(&folder.path)
            .with_context(|| format!("cannot make {}", folder.path.display()))?;
        build(&root, &source, &folder)?;

        let built = Built::inspect(&folder.layout())?;
        built.check(&source)?;
        let description = built.describe(&source);
        std::fs::write(folder.description(), format!("{description:#}\n"))
            .with_context(|| format!("cannot write {}", folder.description().display()))?;
        let megabytes = built.size as f64 / 1e6;
        println!(
            "image {} of commit {}: {megabytes:.1} MB compressed",
            built.digest, source.commit
        );
        forge::output("digest", &built.digest)?;
        forge::summary(&format!(
            "**Image:** `{}`, {megabytes:.1} MB compressed",
            built.digest
        ))
    }
}

/// What a build is made from.
struct Source {
    commit: String,
    /// The commit's time, in seconds and as RFC 3339.
    epoch: String,
    created: String,
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
            crate::process::read(show.env("TZ", "UTC"))
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
    fn labels(&self) -> Vec<(String, String)> {
        let source = forge::var("GITHUB_SERVER_URL").zip(forge::var("GITHUB_REPOSITORY"));
        let source =
            source.map(|(server, name)| format!("{}/{name}", server.trim_end_matches('/')));
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

/// With buildah, which needs no daemon; with docker's buildx where that is what there is.
fn build(root: &Path, source: &Source, folder: &Folder) -> Result<()> {
    let inputs = |command: &mut Command| -> Result<()> {
        let own = [
            ("WAYBILL_COMMIT", &source.commit),
            ("WAYBILL_BUILT_AT", &source.created),
        ];
        for (key, value) in own {
            command.arg(format!("--build-arg={key}={value}"));
        }
        for extra in forge::var("IMAGE_BUILD_ARGS")
            .unwrap_or_default()
            .split_whitespace()
        {
            ensure!(
                extra.contains('='),
                "IMAGE_BUILD_ARGS has `{extra}`, which is not KEY=VALUE"
            );
            command.arg(format!("--build-arg={extra}"));
        }
        for (name, value) in source.labels() {
            command.arg(format!("--label={name}={value}"));
        }
        command.arg(root);
        Ok(())
    };
    if find("buildah").is_some() {
        let name = format!("localhost/waybill:{}", source.commit);
        let mut bud = cmd(
            "buildah",
            ["bud", "--layers", "--format=oci", "--identity-label=false"],
        );
        bud.args([
            format!("--timestamp={}", source.epoch),
            format!("--tag={name}"),
        ]);
        inputs(&mut bud)?;
        run(&mut bud)?;
        run(&mut cmd(
            "buildah",
            ["push", "--quiet", &name, &folder.reference()],
        ))
    } else if find("docker").is_some() {
        let layout = folder.layout();
        let output = format!(
            "--output=type=oci,tar=false,rewrite-timestamp=true,dest={}",
            layout.display()
        );
        let mut build = cmd(
            "docker",
            [
                "buildx",
                "build",
                "--provenance=false",
                "--sbom=false",
                &output,
            ],
        );
        build.arg(format!("--build-arg=SOURCE_DATE_EPOCH={}", source.epoch));
        inputs(&mut build)?;
        run(&mut build)
    } else {
        bail!(
            "neither buildah nor docker is on PATH: `cargo pipeline tools image` installs buildah"
        )
    }
}

/// What was built, as its layout says.
struct Built {
    digest: String,
    size: u64,
    config: Value,
}

impl Built {
    fn inspect(layout: &Path) -> Result<Self> {
        let index = read_json(&layout.join("index.json"))?;
        let manifests = index.pointer("/manifests").and_then(Value::as_array);
        let [descriptor] = manifests.map(Vec::as_slice).unwrap_or_default() else {
            bail!("{} doesn't hold exactly one image", layout.display());
        };
        let manifest = blob(layout, descriptor)?;
        let config = manifest
            .get("config")
            .context("the manifest has no configuration")?;
        let layers = manifest.get("layers").and_then(Value::as_array);
        let layers = layers.context("the manifest has no layers")?;
        let parts = layers.iter().chain([config, descriptor]);
        Ok(Self {
            digest: text(descriptor, "digest")?.to_owned(),
            size: parts.filter_map(|part| part.get("size")?.as_u64()).sum(),
            config: blob(layout, config)?,
        })
    }

    /// What everybody downstream relies on; a Dockerfile that broke it must not get any further.
    fn check(&self, source: &Source) -> Result<()> {
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
        for (name, value) in source.labels() {
            let found = config.get("Labels").and_then(|labels| labels.get(&name));
            ensure!(
                found.and_then(Value::as_str) == Some(&value),
                "the image's label {name} is {}, not \"{value}\"",
                found.unwrap_or(&Value::Null)
            );
        }
        Ok(())
    }

    fn describe(&self, source: &Source) -> Value {
        json!({
            "digest": self.digest,
            "size": self.size,
            "revision": source.commit,
            "created": source.created,
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

/// An image that `image` built.
pub(crate) struct Description {
    pub(crate) digest: String,
    pub(crate) revision: String,
    /// The time of that commit.
    pub(crate) created: String,
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
        })
    }
}

fn blob(layout: &Path, descriptor: &Value) -> Result<Value> {
    let digest = text(descriptor, "digest")?;
    read_json(&layout.join("blobs").join(digest.replace(':', "/")))
}

fn read_json(file: &Path) -> Result<Value> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", file.display()))
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str> {
    let text = value.get(key).and_then(Value::as_str);
    text.with_context(|| format!("`{key}` is missing"))
}
