# The packages of nixos-26.05 that this project uses.
{
  lib,
  nixos,
  system,
}: let
  inherit (builtins) elem isAttrs match removeAttrs;
  isLinux = match ".*-linux" system != null;
  platform = {
    inherit isLinux system;
    isDarwin = ! isLinux;
  };

  # A derivation that is never built. It contains its arguments, so that all of them are evaluated. As in nixpkgs, it is
  # its first output, and each output is an attribute that remembers which one it is.
  make = {
    name,
    outputs ? ["out"],
    meta ? {},
    passthru ? {},
    ...
  } @ arguments: let
    all = derivation {
      inherit name outputs system;
      builder = "/bin/sh";
      contents = flatten (removeAttrs arguments ["passthru"]);
    };
    attributes = {inherit meta arguments;} // passthru // lib.genAttrs outputs output;
    output = name: all.${name} // attributes // {outputSpecified = true;};
  in
    all // attributes // {outputSpecified = false;};
  # A Go program, whose attributes can be overridden.
  goPackage = name: attributes:
    package name (attributes
      // {
        overrideAttrs = change: let
          old = {env = {CGO_ENABLED = "1";};};
          changed = change old;
          unknown = lib.filter (key: ! elem key ["doCheck" "env"]) (lib.attrNames changed);
        in
          if unknown != []
          then throw "overrideAttrs: a Go program has no `${lib.head unknown}'"
          else
            make (changed
              // {
                inherit name;
                meta.mainProgram = name;
                passthru = {
                  programs = [name];
                  isChanged = true;
                };
              });
      });
  flatten = value: builtins.toJSON value;

  # `programs` lists the programs that this project calls, and those that could hide them. A package with headers has the
  # output `dev`.
  package = name: attributes:
    make {
      inherit name;
      outputs = attributes.outputs or ["out"];
      meta.mainProgram = name;
      passthru =
        {
          version = "0";
          programs = [name];
        }
        // removeAttrs attributes ["outputs"];
    };

  everywhere = [
    "actionlint"
    "alejandra"
    "cacert"
    "cargo-auditable"
    "cargo-deny"
    "cargo-machete"
    "cosign"
    "curl"
    "deadnix"
    "git"
    "gitleaks"
    "gnumake"
    "go"
    "hadolint"
    "jq"
    "kubeconform"
    "kubectl"
    "openssl"
    "perl"
    "postgresql"
    "prometheus"
    "rust-analyzer"
    "shellcheck"
    "skopeo"
    "statix"
    "trivy"
    "zizmor"
  ];
  onLinux = [
    "buildah"
    "cargo-llvm-cov"
    "cni-plugins"
    "conntrack-tools"
    "containerd"
    "debootstrap"
    "etcd"
    "gitea-actions-runner"
    "iproute2"
    "nftables"
    "runc"
    "tini"
    "util-linux"
  ];
  names =
    everywhere
    ++ (
      if isLinux
      then onLinux
      else []
    );

  packages = lib.genAttrs names (name: package name (details.${name} or {}));

  # Packages with several outputs or other programs than their names say.
  details = {
    cni-plugins.programs = ["bridge" "host-local" "loopback" "portmap"];
    conntrack-tools.programs = ["conntrack"];
    curl.outputs = ["bin" "dev" "out" "man" "devdoc"];
    gitea-actions-runner.programs = ["gitea-runner"];
    gnumake.programs = ["make"];
    iproute2 = {
      outputs = ["out" "dev" "scripts" "man"];
      programs = ["bridge" "ip" "ss"];
    };
    nftables.programs = ["nft"];
    openssl.outputs = ["bin" "dev" "out" "man"];
    postgresql = {
      outputs = ["out" "dev" "doc" "lib" "man"];
      programs = ["initdb" "postgres" "psql"];
    };
    prometheus = {
      outputs = ["out" "doc" "cli"];
      programs = ["promtool"];
    };
    util-linux = {
      outputs = ["bin" "dev" "out" "lib" "man"];
      programs = ["mount" "runuser" "unshare"];
    };
  };

  self =
    packages
    // {
      inherit lib;
      buildPackages = packages;
      kubernetes-helm = goPackage "helm" {};
      rustc = package "rustc" {};
      stdenv = {
        hostPlatform = platform;
        buildPlatform = platform // {canExecute = other: other.system == system;};
      };

      runCommand = name: environment: script:
        assert isAttrs environment && builtins.isString script;
          make (environment // {inherit name script;});

      writeShellApplication = {
        name,
        text,
        runtimeInputs ? [],
        runtimeEnv ? null,
        meta ? {},
        excludeShellChecks ? [],
      }: let
        withoutPrograms = lib.filter (input: input.outputSpecified or false && input.outputName == "dev") runtimeInputs;
      in
        if withoutPrograms != []
        then throw "writeShellApplication: ${name} has the headers of ${(lib.head withoutPrograms).name}, and not its programs"
        else
          make {
            inherit name text runtimeInputs runtimeEnv excludeShellChecks;
            meta = {mainProgram = name;} // meta;
          };

      writeShellScriptBin = name: text:
        make {
          inherit name text;
          meta.mainProgram = name;
          passthru.programs = [name];
        };
    }
    // lib.optionalAttrs isLinux {
      k3s = package "k3s" {airgap-images = package "k3s-airgap-images-amd64.tar.zst" {};};

      pkgsStatic.stdenv = let
        target = "${builtins.head (match "(.*)-linux" system)}-unknown-linux-musl";
      in {
        hostPlatform = platform // {rust.rustcTarget = target;};
        cc = package "${target}-gcc-wrapper" {targetPrefix = "${target}-";};
      };

      dockerTools = {
        pullImage = {
          imageName,
          imageDigest,
          hash,
          finalImageName ? imageName,
          finalImageTag ? "latest",
          os ? "linux",
          arch ? "amd64",
        } @ image:
          make (image // {name = "docker-image-${builtins.baseNameOf imageName}.tar";});

        streamLayeredImage = {
          name,
          tag ? null,
          fromImage ? null,
          contents ? [],
          config ? {},
          architecture ? "amd64",
          created ? "1970-01-01T00:00:01Z",
          mtime ? created,
          uid ? 0,
          gid ? 0,
          uname ? "root",
          gname ? "root",
          maxLayers ? 100,
          extraCommands ? "",
          fakeRootCommands ? "",
          enableFakechroot ? false,
          includeStorePaths ? true,
          includeNixDB ? false,
          passthru ? {},
          meta ? {},
        } @ image: let
          unknown = lib.filter (key: ! elem key imageConfig) (lib.attrNames config);
        in
          if unknown != []
          then throw "streamLayeredImage: the OCI image configuration has no `${lib.head unknown}'"
          else
            make (image
              // {
                name = "stream-${builtins.baseNameOf name}";
                passthru =
                  {
                    imageName = name;
                    imageTag = tag;
                  }
                  // passthru;
              });
      };

      # Outputs and sources that are used separately.
      argocd = goPackage "argocd" {src = package "argocd-source" {};};
      coredns = goPackage "coredns" {outputs = ["out" "man"];};
      gitea = package "gitea" {outputs = ["out" "data"];};
      kubernetes = package "kubernetes" {
        outputs = ["out" "man" "pause"];
        src = package "kubernetes-source" {};
      };
      musl = package "musl" {
        outputs = ["out" "bin" "dev"];
        programs = ["musl-gcc"];
      };

      linkFarm = name: entries:
        assert isAttrs entries;
          make {
            inherit name entries;
            passthru.programs = lib.concatMap (entry: lib.optionals (match "bin/.*" entry != null) [(baseNameOf entry)]) (lib.attrNames entries);
          };

      testers.runNixOSTest = module: let
        test = lib.evalModules {
          modules = [
            module
            {
              options = {
                name = lib.mkOption {type = lib.types.str;};
                nodes = lib.mkOption {
                  type = lib.types.attrsOf lib.types.raw;
                  default = {};
                };
                testScript = lib.mkOption {type = lib.types.str;};
              };
            }
          ];
        };
        inherit (test.config) name nodes testScript;
        machines = lib.mapAttrs (_: node: (nixos.testNode system node).config) nodes;
      in
        make {
          name = "vm-test-run-${name}";
          inherit testScript;
          machines = lib.mapAttrsToList (_: machine: machine.system.build.toplevel) machines;
          passthru = {
            inherit testScript;
            nodes = machines;
          };
        };
    };

  imageConfig = ["Cmd" "Entrypoint" "Env" "ExposedPorts" "Healthcheck" "Labels" "StopSignal" "User" "Volumes" "WorkingDir"];
in
  self
