# The packages of nixos-26.05 that this project uses.
{
  lib,
  nixos,
  system,
}: let
  inherit (builtins) elem isAttrs listToAttrs map match removeAttrs;
  isLinux = match ".*-linux" system != null;
  platform = {
    inherit isLinux system;
    isDarwin = ! isLinux;
  };

  # A derivation that is never built. It contains its arguments, so that all of them are evaluated.
  make = {
    name,
    meta ? {},
    passthru ? {},
    ...
  } @ arguments:
    derivation {
      inherit name system;
      builder = "/bin/sh";
      contents = flatten (removeAttrs arguments ["meta" "passthru"]);
    }
    // {inherit meta arguments;}
    // passthru;
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
              });
      });
  flatten = value: builtins.toJSON value;

  package = name: attributes:
    make {
      inherit name;
      meta.mainProgram = name;
      passthru = {version = "0";} // attributes;
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

  packages = listToAttrs (map (name: {
      inherit name;
      value = package name {};
    })
    names);

  self =
    packages
    // {
      inherit lib;
      buildPackages = packages;
      kubernetes-helm = goPackage "helm" {};
      rustc = package "rustc" {
        version = "1.95.0";
        llvmPackages.llvm = package "llvm" {};
      };
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
      }:
        make {
          inherit name text runtimeInputs runtimeEnv excludeShellChecks;
          meta = {mainProgram = name;} // meta;
        };
    }
    // lib.optionalAttrs isLinux {
      k3s = package "k3s" {airgap-images = package "k3s-airgap-images-amd64.tar.zst" {};};

      pkgsStatic = {
        inherit (self) stdenv lib rustc;
        buildPackages = packages;
        isStatic = true;
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
      coredns = goPackage "coredns" {};
      gitea = package "gitea" {data = package "gitea-data" {};};
      kubernetes = package "kubernetes" {src = package "kubernetes-source" {};};
      musl = package "musl" {dev = package "musl-dev" {};};

      linkFarm = name: entries:
        assert isAttrs entries;
          make {inherit name entries;};

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
