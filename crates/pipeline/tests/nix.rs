//! The flake, as far as it can be judged without nixpkgs: its files are clean, its outputs evaluate against the strict
//! stand-ins in `nix/tests/stubs`, and what it says agrees with the Dockerfile, the lab and the charts.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test's helpers report"
)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use devkit::tools::{Source, TOOLS, Tool};
use serde_json::{Value, json};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: impl AsRef<Path>) -> String {
    let file = root().join(file);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Runs a program and gives what it printed, or its complaint.
fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("can't run {program} ({error}): `cargo pipeline tools` installs it")
        });
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    if status.success() {
        Ok(text(stdout))
    } else {
        Err(text(stderr) + &text(stdout))
    }
}

/// The project's files, in git or about to be.
fn files(suffix: &str) -> Vec<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let list = run(git.current_dir(root())).expect("this is a git repository");
    list.lines()
        .filter(|file| file.ends_with(suffix) && root().join(file).is_file())
        .map(str::to_owned)
        .collect()
}

/// A copy of the flake beside a store of its own, so that nothing of the machine's is read or written.
struct Flake {
    dir: TempDir,
}

impl Flake {
    fn copy() -> Self {
        let dir = TempDir::with_prefix("waybill-nix").expect("a temporary folder");
        let flake = Self { dir };
        for file in files("") {
            let to = flake.path().join(&file);
            std::fs::create_dir_all(to.parent().expect("a file has a folder"))
                .expect("the copy can be written");
            std::fs::copy(root().join(file), to).expect("the copy can be written");
        }
        flake
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("flake")
    }

    /// Where Nix puts what it names `/nix/store/…`.
    fn in_store(&self, path: &str) -> PathBuf {
        let path = path.trim_start_matches('/');
        self.dir.path().join("store").join(path)
    }

    /// Changes the one place in a file that says `from`.
    fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = std::fs::read_to_string(&path).expect("the file is there");
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {file}");
        std::fs::write(path, text.replace(from, to)).expect("the copy can be written");
    }

    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut nix = Command::new("nix");
        nix.args(["--extra-experimental-features", "nix-command flakes"])
            .args(["--offline", "--store"])
            .arg(self.dir.path().join("store"))
            .args(args)
            .env("HOME", self.dir.path())
            .env_remove("NIX_REMOTE")
            .env_remove("NIX_PATH");
        nix
    }

    /// A command on the flake with the stand-ins for its inputs.
    fn with_stubs(
        &self,
        command: &[&str],
        attribute: &str,
        args: &[&str],
    ) -> Result<String, String> {
        let flake = self.path();
        let mut nix = self.command(command);
        nix.arg(format!("path:{}{attribute}", flake.display()));
        for input in ["nixpkgs", "crane"] {
            let stub = flake.join("nix/tests/stubs").join(input);
            nix.args(["--override-input", input])
                .arg(format!("path:{}", stub.display()));
        }
        run(nix.arg("--no-write-lock-file").args(args))
    }

    fn eval(&self, attribute: &str) -> Value {
        let attribute = format!("#{attribute}");
        let text = self.with_stubs(&["eval", "--json"], &attribute, &[]);
        serde_json::from_str(&text.unwrap_or_else(|error| panic!("{attribute}: {error}")))
            .expect("Nix prints JSON")
    }

    /// Evaluates every output to the last attribute.
    fn check(&self) -> Result<String, String> {
        self.with_stubs(&["flake", "check", "--no-build"], "", &[])
    }
}

impl Drop for Flake {
    fn drop(&mut self) {
        // Nix makes its store read-only, and then only root can delete it.
        let mut chmod = Command::new("chmod");
        let _ = chmod.args(["-R", "u+w"]).arg(self.dir.path()).status();
    }
}

fn keys(value: &Value) -> BTreeSet<&str> {
    let object = value.as_object();
    let object = object.unwrap_or_else(|| panic!("not an object: {value}"));
    object.keys().map(String::as_str).collect()
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn every_file_parses_and_is_formatted() {
    let store = TempDir::with_prefix("waybill-nix").expect("a temporary folder");
    let mut wrong = Vec::new();
    for file in files(".nix") {
        let mut parse = Command::new("nix-instantiate");
        let parse = parse.arg("--store").arg(store.path()).arg("--parse");
        wrong.extend(run(parse.arg(&file).current_dir(root())).err());
        match alejandra::format::in_memory(file.clone(), read(&file)).0 {
            alejandra::format::Status::Changed(false) => {}
            alejandra::format::Status::Changed(true) => wrong.push(format!("{file}: `nix fmt`")),
            alejandra::format::Status::Error(error) => wrong.push(format!("{file}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn nothing_is_unused() {
    let rules = deadnix::Settings {
        no_lambda_arg: false,
        // They say what a function takes, which is what the stand-ins are for.
        no_lambda_pattern_names: true,
        no_underscore: false,
        warn_used_underscore: true,
    };
    let mut unused = Vec::new();
    for file in files(".nix") {
        let syntax = rnix::Root::parse(&read(&file)).syntax();
        let found = rules.find_dead_code(&syntax);
        unused.extend(
            found
                .iter()
                .map(|dead| format!("{file}: {}", dead.binding.name)),
        );
    }
    assert!(unused.is_empty(), "unused: {}", unused.join(", "));
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_lock_is_what_nix_would_write() {
    let text = read("flake.lock");
    let lock: Value = serde_json::from_str(&text).expect("flake.lock is JSON");
    // Nix sorts the keys, as this does, indents by two and ends the line.
    assert_eq!(text, format!("{lock:#}\n"));

    let flake = Flake::copy();
    let path = format!("path:{}", flake.path().display());
    run(&mut flake.command(&["flake", "metadata", "--no-update-lock-file", &path]))
        .expect("flake.lock fits the inputs of flake.nix");

    flake.change("flake.nix", "nixos-26.05", "nixos-25.11");
    let refusal = run(&mut flake.command(&["flake", "metadata", "--no-update-lock-file", &path]))
        .expect_err("an input that isn't the locked one");
    assert!(refusal.contains("nixos-25.11"), "{refusal}");
}

/// The outputs that have a row in the table of docs/nix.md; `a.{b,c}` are two.
fn documented() -> BTreeSet<String> {
    let text = read("docs/nix.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split('`').next());
    cells
        .flat_map(|cell| match cell.split_once(".{") {
            None => vec![cell.to_owned()],
            Some((output, names)) => {
                let names = names.trim_end_matches('}').split(',');
                names.map(|name| format!("{output}.{name}")).collect()
            }
        })
        .collect()
}

/// What `nix flake show` says of all systems.
fn shown(flake: &Flake) -> Value {
    // Newer versions of Nix show this machine's system alone, unless they are told; older ones don't know the word.
    let show = &["flake", "show", "--json"];
    let shown = match flake.with_stubs(show, "", &["--all-systems"]) {
        Err(error) if error.contains("--all-systems") => flake.with_stubs(show, "", &[]),
        other => other,
    };
    serde_json::from_str(&shown.expect("the flake can be shown")).expect("Nix prints JSON")
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_outputs_have_their_names_and_types() {
    let flake = Flake::copy();
    let shown = shown(&flake);
    assert_eq!(
        keys(&shown),
        BTreeSet::from([
            "apps",
            "checks",
            "devShells",
            "formatter",
            "nixosConfigurations",
            "nixosModules",
            "packages",
        ])
    );

    for system in ["x86_64-linux", "aarch64-linux"] {
        let of = |output: &str| &shown[output][system];
        assert_eq!(
            keys(of("packages")),
            BTreeSet::from(["default", "image", "static"])
        );
        assert_eq!(
            keys(of("apps")),
            BTreeSet::from(["default", "lab", "pipeline", "vm", "vm-offline"])
        );
        assert_eq!(
            keys(of("checks")),
            BTreeSet::from([
                "chart",
                "clippy",
                "cluster",
                "docs",
                "format",
                "nix",
                "service-postgresql",
                "service-sqlite",
                "tests",
                "vm",
                "vm-offline",
                "workflows",
            ])
        );
        for (output, kind) in [
            ("packages", "derivation"),
            ("checks", "derivation"),
            ("apps", "app"),
        ] {
            for (name, entry) in of(output).as_object().expect("an object") {
                assert_eq!(entry["type"], kind, "{output}.{system}.{name}");
            }
        }
    }
    for system in ["x86_64-linux", "aarch64-linux", "aarch64-darwin"] {
        for output in [
            &shown["packages"][system]["default"],
            &shown["devShells"][system]["default"],
            &shown["formatter"][system],
        ] {
            assert_eq!(output["type"], "derivation", "{system}");
        }
    }
    for name in ["vm", "vm-offline", "vm-aarch64", "vm-offline-aarch64"] {
        let kind = &shown["nixosConfigurations"][name]["type"];
        assert_eq!(kind, "nixos-configuration", "{name}");
    }
    assert_eq!(shown["nixosModules"]["default"]["type"], "nixos-module");

    // This one is there once its images are listed.
    let mut outputs = BTreeSet::from(["formatter", "checks.argocd"].map(str::to_owned));
    outputs.extend(["nixosModules.default", "nixosConfigurations.*"].map(str::to_owned));
    for output in ["packages", "apps", "checks", "devShells"] {
        for name in keys(&shown[output]["x86_64-linux"]) {
            outputs.insert(format!("{output}.{name}"));
        }
    }
    assert_eq!(documented(), outputs, "docs/nix.md has a row for each");
}

/// A package, a function's argument, an option, a value's type, an image's key, a directive of systemd, a path.
const SLIPS: &[[&str; 4]] = &[
    [
        "nix/shell.nix",
        " kubeconform ",
        " kubeconfrom ",
        "kubeconfrom",
    ],
    ["nix/shell.nix", "doCheck =", "doChek =", "doChek"],
    [
        "nix/image.nix",
        "extraCommands =",
        "extraCommand =",
        "extraCommand",
    ],
    ["nix/image.nix", "User =", "Usr =", "Usr"],
    [
        "nix/rust.nix",
        "cargoClippyExtraArgs =",
        "clippyArgs =",
        "clippyArgs",
    ],
    ["nix/rust.nix", "lib.warnIf", "lib.warnIff", "warnIff"],
    [
        "nix/source.nix",
        "\"migrations\"",
        "\"migration\"",
        "/migration does not exist",
    ],
    [
        "nix/module.nix",
        "ProtectClock",
        "ProtectClok",
        "ProtectClok' does not exist",
    ],
    [
        "nix/module.nix",
        "ensureDBOwnership",
        "ensureOwnership",
        "ensureOwnership' does not exist",
    ],
    [
        "nixos-vm/argocd.nix",
        "autoDeployCharts",
        "autoDeployChart",
        "autoDeployChart' does not exist",
    ],
    [
        "nixos-vm/argocd.nix",
        "role = \"server\"",
        "role = \"servant\"",
        "services.k3s.role' is not of type",
    ],
    [
        "nixos-vm/machine.nix",
        "memorySize = 4096",
        "memorySize = \"4096\"",
        "virtualisation.memorySize' is not of type",
    ],
    [
        "nixos-vm/machine.nix",
        "virtualisation/qemu-vm.nix",
        "virtualisation/qemu.nix",
        "qemu.nix",
    ],
    [
        "nixos-vm/offline.nix",
        "mod_cgi",
        "mod_cgj",
        "services.lighttpd.enableModules.[1]' is not of type",
    ],
    [
        "nixos-vm/tests/service.nix",
        "createLocally",
        "createLocaly",
        "createLocaly' does not exist",
    ],
    [
        "nixos-vm/tests/cluster.nix",
        "diskSize",
        "diskSpace",
        "diskSpace' does not exist",
    ],
];

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn every_output_evaluates_and_a_slip_is_noticed() {
    let flake = Flake::copy();
    flake.check().unwrap_or_else(|error| panic!("{error}"));

    for [file, from, to, complaint] in SLIPS {
        let original = std::fs::read_to_string(flake.path().join(file)).expect("the file is there");
        flake.change(file, from, to);
        let refusal = flake.check().expect_err(&format!("{to} in {file}"));
        assert!(refusal.contains(complaint), "{to} in {file}: {refusal}");
        std::fs::write(flake.path().join(file), original).expect("the copy can be written");
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn argo_cds_own_test_evaluates_once_its_images_are_listed() {
    let flake = Flake::copy();
    let image = "[{imageName = \"quay.io/argoproj/argocd\"; imageDigest = \"sha256:0\"; hash = \"sha256-0\";}]";
    flake.change("nixos-vm/images.nix", "[]", image);
    let checks = flake.with_stubs(
        &["eval", "--json"],
        "#checks.x86_64-linux",
        &["--apply", "checks: checks.argocd.name"],
    );
    assert_eq!(
        checks.as_deref().map(str::trim),
        Ok("\"vm-test-run-waybill-argocd\"")
    );
}

/// The instructions of the Dockerfile's last stage.
fn dockerfile() -> Vec<(String, String)> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let instructions: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter(|(word, _)| word.chars().all(|letter| letter.is_ascii_uppercase()))
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect();
    let last = instructions.iter().rposition(|(word, _)| word == "FROM");
    instructions[last.expect("the Dockerfile has a stage")..].to_vec()
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn both_images_have_the_same_configuration() {
    let image = Flake::copy().eval("packages.x86_64-linux.image.arguments");
    let stage = dockerfile();
    let all = |word: &str| -> Vec<&str> {
        let matching = stage.iter().filter(|(found, _)| found == word);
        matching.map(|(_, rest)| rest.as_str()).collect()
    };
    let config = &image["config"];

    assert_eq!(all("FROM"), ["scratch"]);
    assert_eq!(
        image["includeStorePaths"], false,
        "nothing but the files themselves"
    );
    assert_eq!(all("USER"), [&config["User"]]);
    let entrypoint: Value = serde_json::from_str(all("ENTRYPOINT")[0]).expect("the exec form");
    assert_eq!(entrypoint, config["Entrypoint"]);
    let ports: BTreeSet<String> = all("EXPOSE")
        .iter()
        .map(|port| format!("{port}/tcp"))
        .collect();
    assert_eq!(
        ports,
        keys(&config["ExposedPorts"])
            .into_iter()
            .map(str::to_owned)
            .collect()
    );

    // Neither sets an environment, a command or a folder: the chart does, or nobody. (buildah and docker add a PATH.)
    for (instruction, key) in [
        ("ENV", "Env"),
        ("CMD", "Cmd"),
        ("WORKDIR", "WorkingDir"),
        ("VOLUME", "Volumes"),
    ] {
        assert!(all(instruction).is_empty(), "{instruction}");
        assert!(config.get(key).is_none(), "{key}");
    }

    // The Dockerfile has the labels that never change, `cargo pipeline image` gives those of the commit.
    let constant = all("LABEL").join(" ");
    let constant = constant
        .split("\" ")
        .filter_map(|pair| pair.trim().split_once('='));
    let mut labels = BTreeSet::from(
        ["title", "version", "revision", "created", "source"]
            .map(|name| format!("org.opencontainers.image.{name}")),
    );
    for (name, value) in constant {
        assert_eq!(config["Labels"][name], value.trim_matches('"'), "{name}");
        labels.insert(name.to_owned());
    }
    assert_eq!(
        keys(&config["Labels"])
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        labels
    );
    assert_eq!(
        config["Labels"]["org.opencontainers.image.version"],
        env!("CARGO_PKG_VERSION")
    );

    // The same files: in the Dockerfile installed below /image, in Nix below the image's root.
    let installed = |text: &str, prefix: &str| -> BTreeSet<String> {
        let commands = text.split("install -D").skip(1);
        let targets =
            commands.filter_map(|command| command.lines().next()?.split_whitespace().last());
        targets
            .map(|target| target.trim_start_matches(prefix).to_owned())
            .collect()
    };
    let script = image["extraCommands"].as_str().expect("a script");
    assert_eq!(
        installed(&read("Dockerfile").replace("\\\n", "\n"), "/image/"),
        installed(script, "")
    );
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_flakes_image_has_the_name_that_the_chart_pulls() {
    // Else a cluster that was given the image would ask the network for another.
    let name = Flake::copy().eval("packages.x86_64-linux.image.imageName");
    let values: Value = serde_saphyr::from_str(&read("charts/waybill/values.yaml")).expect("YAML");
    assert_eq!(name, values["image"]["repository"]);
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn versions_agree_or_say_why_not() {
    let file = ["eval", "--json", "--file", "nix/versions.nix"];
    let flake = Flake::copy();
    let versions = run(flake.command(&file).current_dir(flake.path())).expect("it evaluates");
    let versions: Value = serde_json::from_str(&versions).expect("Nix prints JSON");

    for (name, entry) in versions.as_object().expect("an object") {
        if keys(entry) != BTreeSet::from(["everywhere"]) {
            assert!(
                entry["reason"].is_string(),
                "{name}: say why it has several versions"
            );
        }
    }
    let version = |name: &str, place: &str| -> String {
        let found = versions[name][place].as_str();
        found
            .unwrap_or_else(|| panic!("nix/versions.nix has no {name}.{place}"))
            .to_owned()
    };

    let rust = version("rust", "everywhere");
    assert!(read("rust-toolchain.toml").contains(&format!("channel = \"{rust}\"")));
    assert!(read("Dockerfile").contains(&format!("library/rust:{rust}-")));
    let minor = rust.rsplit_once('.').expect("three numbers").0;
    assert!(read("Cargo.toml").contains(&format!("rust-version = \"{minor}\"")));

    let nixpkgs = version("nixpkgs", "everywhere");
    assert!(read("flake.nix").contains(&format!("NixOS/nixpkgs/nixos-{nixpkgs}\"")));
    assert!(read("nixos-vm/machine.nix").contains(&format!("stateVersion = \"{nixpkgs}\"")));

    for tool in TOOLS {
        if let Source::Go(_) = tool.source {
            let pin = tool.version().expect("every Go program has a version");
            assert_eq!(version(tool.name, "lab"), pin, "{}", tool.name);
        }
    }

    let auditable = version("cargo-auditable", "dockerfile");
    assert!(read("Dockerfile").contains(&format!("ARG AUDITABLE={auditable}\n")));
    let tool = devkit::tools::named("cargo-auditable").expect("a tool");
    assert_eq!(tool.version(), Some(auditable.as_str()));

    let oldest = version("kubernetes", "chart");
    assert!(
        read("charts/waybill/Chart.yaml").contains(&format!("kubeVersion: \">={oldest}.0-0\""))
    );
    assert_eq!(known_fields("kubernetes")["kubernetes"], oldest);
    assert_eq!(
        known_fields("argocd")["argocd"],
        versions["argocd"]["vm"]["version"]
    );
}

/// The fields of `spec` by kind, in the oldest version that nix/versions.nix lists: Argo CD's as its CRDs have them,
/// Kubernetes' as its OpenAPI document does. What is `true` there isn't looked into.
fn known_fields(of: &str) -> Value {
    let text = read(format!("nix/tests/{of}-fields.json"));
    serde_json::from_str(&text).expect("JSON")
}

/// The fields of an object that the tree of known ones doesn't have.
fn unknown(object: &Value, known: &Value, path: &str) -> Vec<String> {
    match object {
        Value::Array(items) => items
            .iter()
            .flat_map(|item| unknown(item, known, path))
            .collect(),
        // `true` is the end of what the tree tells.
        Value::Object(fields) if known.is_object() => {
            let field = |(name, value)| {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    None => vec![path],
                    Some(known) => unknown(value, known, &path),
                }
            };
            fields.iter().flat_map(field).collect()
        }
        _ => Vec::new(),
    }
}

const NOTHING: [&str; 0] = [];

/// What these objects have in `spec` that the older version doesn't know.
fn too_new(objects: &[Value], of: &str) -> Vec<String> {
    let fields = known_fields(of);
    let of_object = |object: &Value| {
        let kind = object["kind"].as_str().expect("a kind");
        match (object.get("spec"), fields["spec"].get(kind)) {
            (None, _) => Vec::new(),
            (Some(_), None) => vec![kind.to_owned()],
            (Some(spec), Some(known)) => unknown(spec, known, kind),
        }
    };
    objects.iter().flat_map(of_object).collect()
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn manifests_have_only_fields_that_the_oldest_version_knows() {
    let render = |chart: &str, values: &[&str]| -> Vec<Value> {
        let mut helm = Command::new("helm");
        helm.args(["template", "waybill", chart])
            .current_dir(root());
        for file in values {
            helm.args(["--values", file]);
        }
        let manifests = run(&mut helm).expect("it renders");
        serde_saphyr::from_multiple(&manifests).expect("Helm prints YAML")
    };
    let argocd = render("argocd", &[]);
    assert!(argocd.len() >= 4);
    assert_eq!(too_new(&argocd, "argocd"), NOTHING);

    let variants = files(".yaml");
    let variants: Vec<&str> = variants
        .iter()
        .map(String::as_str)
        .filter(|file| {
            file.starts_with("charts/waybill/values-") || file.starts_with("charts/waybill/ci/")
        })
        .collect();
    assert!(variants.len() >= 3, "{variants:?}");
    for file in variants {
        let objects = render("charts/waybill", &[file]);
        assert_eq!(too_new(&objects, "kubernetes"), NOTHING, "{file}");
    }
    let manifests = Flake::copy().eval("nixosConfigurations.vm.config.services.k3s.manifests");
    for manifest in manifests.as_object().expect("manifests").values() {
        let objects = manifest["content"].as_array().expect("a list of objects");
        assert_eq!(too_new(objects, "kubernetes"), NOTHING);
    }

    for (object, of, complaint) in [
        (
            json!({"kind": "Application", "spec": {"source": {"helm": {"nonesuch": 1}}}}),
            "argocd",
            "Application.source.helm.nonesuch",
        ),
        (
            json!({"kind": "Service", "spec": {"ports": [{"port": 1}, {"prot": 2}]}}),
            "kubernetes",
            "Service.ports.prot",
        ),
        (
            json!({"kind": "Nonesuch", "spec": {}}),
            "kubernetes",
            "Nonesuch",
        ),
    ] {
        assert_eq!(too_new(&[object], of), [complaint]);
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_shell_has_every_program_that_pipeline_and_lab_look_for() {
    let flake = Flake::copy();
    let programs = flake.eval("devShells.x86_64-linux.default.programs");
    // These come with the shell itself, and nobody is in it without Nix. LLVM's tools are named by variables.
    let mut there = BTreeSet::from(["cargo-clippy", "cargo-fmt", "cc", "llvm-tools", "nix"]);
    assert!(read("nix/shell.nix").contains("LLVM_PROFDATA = "));
    there.extend(keys(&programs));
    let elsewhere = flake.eval("devShells.x86_64-linux.default.elsewhere");
    there.extend(keys(&elsewhere));

    let wanted: BTreeSet<&str> = TOOLS.iter().flat_map(Tool::programs).collect();
    let missing: Vec<_> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "nix/shell.nix lacks {missing:?}");

    // A tool whose programs need files lies there as the lab looks for it: `bin`, and `share` beside it.
    let mut with_files = 0;
    for tool in TOOLS {
        let Source::Go(build) = &tool.source else {
            continue;
        };
        if build.files.is_empty() {
            continue;
        }
        let (program, _) = build.programs[0];
        let farm = format!("devShells.x86_64-linux.default.programs.{program}.arguments.entries");
        assert_eq!(
            keys(&flake.eval(&farm)),
            BTreeSet::from(["bin", "share"]),
            "{program}"
        );
        with_files += 1;
    }
    assert!(with_files >= 3, "Kubernetes, Argo CD and Gitea");
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_vm_is_as_small_as_promised_and_reached_from_the_host_alone() {
    let flake = Flake::copy();
    let vm = flake.eval("nixosConfigurations.vm.config.virtualisation");
    assert_eq!((&vm["cores"], &vm["memorySize"]), (&json!(2), &json!(4096)));
    let ports = vm["forwardPorts"].as_array().expect("forwarded ports");
    assert!(ports.len() >= 2, "Argo CD and dev");
    let motd = flake.eval("nixosConfigurations.vm.config.users.motd");
    let motd = motd.as_str().expect("a message of the day");
    for port in ports {
        assert_eq!(port["host"]["address"], "127.0.0.1", "{port}");
        assert_eq!(port["host"]["port"], port["guest"]["port"]);
        let address = format!("http://127.0.0.1:{}/", port["host"]["port"]);
        assert!(motd.contains(&address), "{address} is not in {motd}");
    }
    assert!(
        motd.contains("\n  argocd-password "),
        "how to log in: {motd}"
    );

    let charts = flake.eval("nixosConfigurations.vm.config.services.k3s.autoDeployCharts");
    assert_eq!(
        keys(&charts),
        BTreeSet::from(["argo-cd", "waybill-bootstrap"])
    );
    assert_eq!(
        charts["waybill-bootstrap"]["values"],
        json!({}),
        "argocd/values.yaml decides"
    );

    // Argo CD makes its own password when it starts.
    assert!(!charts.to_string().to_lowercase().contains("password"));
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn an_environment_joins_by_its_values_file_alone() {
    let flake = Flake::copy();
    let values = |name: &str| format!("charts/waybill/values-{name}.yaml");
    for environments in [
        &["dev"][..],
        &["dev", "staging"],
        &["dev", "staging", "prod"],
    ] {
        for name in ["staging", "prod"] {
            let file = flake.path().join(values(name));
            if environments.contains(&name) {
                std::fs::copy(root().join(values("dev")), file).expect("the copy can be written");
            } else if file.exists() {
                std::fs::remove_file(file).expect("the copy can be written");
            }
        }
        flake.check().unwrap_or_else(|error| panic!("{error}"));
        for vm in ["vm", "vm-offline"] {
            let of =
                |option: &str| flake.eval(&format!("nixosConfigurations.{vm}.config.{option}"));
            let namespaces: Vec<_> = environments
                .iter()
                .map(|n| format!("waybill-{n}"))
                .collect();
            assert_eq!(of("services.postgresql.ensureDatabases"), json!(namespaces));

            let manifests = of("services.k3s.manifests.waybill-environments.content");
            let manifests = manifests.as_array().expect("a list of objects");
            let made = manifests
                .iter()
                .filter(|object| object["kind"] == "Namespace");
            let made: Vec<_> = made.map(|object| &object["metadata"]["name"]).collect();
            assert_eq!(made, namespaces.iter().collect::<Vec<_>>());
            let doors = manifests
                .iter()
                .filter(|object| object["kind"] == "Service");
            let doors: Vec<_> = doors.map(|o| &o["spec"]["ports"][0]["nodePort"]).collect();
            let ports: Vec<_> = (30081..).take(environments.len()).collect();
            assert_eq!(json!(doors), json!(ports));

            let forwarded = of("virtualisation.forwardPorts").to_string();
            let motd = of("users.motd");
            for port in ports {
                assert!(forwarded.contains(&port.to_string()), "{forwarded}");
                let address = format!("http://127.0.0.1:{port}/version");
                assert!(motd.as_str().expect("text").contains(&address), "{motd}");
            }
        }
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn pods_reach_the_machine_wherever_k3s_runs() {
    let flake = Flake::copy();
    for machine in [
        "nixosConfigurations.vm.config",
        "nixosConfigurations.vm-offline.config",
        "checks.x86_64-linux.cluster.nodes.machine",
    ] {
        assert_eq!(flake.eval(&format!("{machine}.services.k3s.enable")), true);
        let trusted = flake.eval(&format!("{machine}.networking.firewall.trustedInterfaces"));
        assert_eq!(trusted, json!(["cni0", "flannel.1"]), "{machine}");
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_databases_passwords_are_made_at_the_first_boot_and_kept() {
    let flake = Flake::copy();
    let service = flake.eval("nixosConfigurations.vm.config.systemd.services.waybill-databases");
    assert_eq!(service["serviceConfig"]["UMask"], "0077");
    let script = service["script"].as_str().expect("a script");

    let machine = TempDir::with_prefix("waybill-nix").expect("a temporary folder");
    let log = |name: &str| std::fs::read_to_string(machine.path().join(name)).expect("a log");
    for (name, text) in [
        (
            "openssl",
            "[ \"$*\" = 'rand -hex 24' ] && od -An -v -tx1 -N24 /dev/urandom | tr -d ' \\n'",
        ),
        ("runuser", "cat >> \"$MACHINE/roles\""),
        (
            "kubectl",
            "echo \"$*\" >> \"$MACHINE/arguments\"\n\
             if [ \"$1\" = create ]; then cat; else cat >> \"$MACHINE/secrets\"; echo >> \"$MACHINE/secrets\"; fi",
        ),
    ] {
        program(&machine.path().join(name), text);
    }
    let path = format!(
        "{}:{}",
        machine.path().display(),
        std::env::var("PATH").expect("PATH is set")
    );
    let boot = || {
        run(Command::new("bash")
            // As NixOS runs it.
            .args(["-ec", script])
            .env("PATH", &path)
            .env("MACHINE", machine.path())
            .env("STATE_DIRECTORY", machine.path()))
        .unwrap_or_else(|error| panic!("{error}"));
    };

    boot();
    let secrets = log("secrets");
    let url = secrets.lines().next().expect("a URL");
    let password = url
        .strip_prefix("postgres://waybill-dev:")
        .and_then(|rest| rest.strip_suffix("@10.42.0.1:5432/waybill-dev"))
        .unwrap_or_else(|| panic!("{url}"));
    assert!(
        password.len() == 48 && password.chars().all(|c| c.is_ascii_hexdigit()),
        "{password}"
    );
    let role = format!("ALTER ROLE \"waybill-dev\" PASSWORD '{password}'\n");
    assert!(log("roles").contains(&role), "{}", log("roles"));
    let arguments = log("arguments");
    assert!(!arguments.contains(password), "everybody sees {arguments}");
    assert!(arguments.contains("secret generic waybill-database --namespace waybill-dev"));

    boot();
    assert_eq!(log("secrets"), secrets.repeat(2), "the next boot keeps it");
    std::fs::remove_file(machine.path().join("waybill-dev")).expect("the password is kept there");
    boot();
    let other = log("secrets");
    let other = other.lines().rfind(|url| url.contains("/waybill-dev:"));
    assert!(
        !other.expect("a URL").contains(password),
        "another machine has another one"
    );
}

/// A program that is found on PATH.
fn program(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, format!("#!/bin/sh\n{text}\n")).expect("the program can be written");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn scripts_inside_nix_are_clean() {
    let flake = Flake::copy();
    let mut scripts = Vec::new();
    let services = flake.eval("nixosConfigurations.vm-offline.config.systemd.services");
    for (name, service) in services.as_object().expect("services") {
        scripts.push((
            name.clone(),
            service["script"].as_str().expect("a script").to_owned(),
        ));
    }
    let packages = flake.with_stubs(
        &["eval", "--json"],
        "#nixosConfigurations.vm-offline.config.environment.systemPackages",
        &["--apply", "map (package: package.arguments.text or \"\")"],
    );
    let packages =
        serde_json::from_str::<Vec<String>>(&packages.expect("packages")).expect("texts");
    scripts.extend(
        packages
            .into_iter()
            .map(|text| ("a package".to_owned(), text)),
    );
    scripts.retain(|(_, script)| !script.is_empty());
    assert!(scripts.len() >= 3, "{scripts:?}");

    for (name, script) in scripts {
        let file = flake.path().join("script");
        // As NixOS and writeShellApplication run them.
        std::fs::write(&file, format!("set -e\n{script}")).expect("the script can be written");
        run(Command::new("shellcheck").arg("--shell=bash").arg(file))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_offline_vms_repository_deploys_the_image_that_it_brings() {
    let flake = Flake::copy();
    let script =
        flake.eval("nixosConfigurations.vm-offline.config.systemd.services.waybill-git.script");
    let tag = flake.eval("packages.x86_64-linux.image.imageTag");
    let folder = flake.dir.path().join("git");
    std::fs::create_dir(&folder).expect("a folder");
    let script = script.as_str().expect("a script");
    // As it is, but for where it writes and where the store is.
    let store = flake.in_store("/nix/store").display().to_string();
    let script = script
        .replace("/var/lib/waybill-git", &folder.display().to_string())
        .replace("/nix/store", &store);
    let seed = || {
        run(Command::new("bash")
            .args(["-euc", &script])
            .env("HOME", &folder))
    };
    seed().unwrap_or_else(|error| panic!("{error}"));
    seed().expect("at the next boot nothing happens");

    let bare = folder.join("waybill.git").display().to_string();
    let show = |what: &str| {
        run(Command::new("git").args(["-C", &bare, "show", what])).expect("it is there")
    };
    for branch in ["main", "staging", "develop"] {
        let values: Value =
            serde_saphyr::from_str(&show(&format!("{branch}:charts/waybill/values-dev.yaml")))
                .expect("YAML");
        assert_eq!(
            values["image"],
            json!({"tag": tag, "digest": ""}),
            "{branch}"
        );
    }
    assert!(show("main:argocd/Chart.yaml").contains("argocd"));
}
