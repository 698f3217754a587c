# The objects that each environment needs but that are not in Git: a namespace, a NodePort Service, and a database with
# a password. The password is generated at the first boot and is never in the Nix store. The values file of an
# environment decides whether it uses the database.
{environments, ...}: {
  config,
  lib,
  pkgs,
  ...
}: let
  # The address of the machine for pods: the bridge of K3s on its first node.
  host = "10.42.0.1";
  database = environment: "waybill-${environment.name}";
in {
  imports = [./options.nix];

  vm.entries = lib.listToAttrs (map (environment: {
      inherit (environment) name;
      value = {
        inherit (environment) port;
        path = "/version";
      };
    })
    environments);

  services.k3s.manifests.waybill-environments.content =
    lib.concatMap (environment: let
      namespace = "waybill-${environment.name}";
    in [
      {
        apiVersion = "v1";
        kind = "Namespace";
        metadata.name = namespace;
      }
      {
        apiVersion = "v1";
        kind = "Service";
        metadata = {
          name = "waybill-vm";
          inherit namespace;
        };
        spec = {
          type = "NodePort";
          # The pods of the Helm release.
          selector = {
            "app.kubernetes.io/name" = "waybill";
            "app.kubernetes.io/instance" = "waybill";
          };
          ports = [
            {
              name = "http";
              port = 80;
              targetPort = "http";
              nodePort = environment.port;
            }
          ];
        };
      }
    ])
    environments;

  services.postgresql = {
    enable = true;
    enableTCPIP = true; # the firewall accepts connections only from pods
    authentication = "host sameuser all 10.42.0.0/16 scram-sha-256";
    ensureDatabases = map database environments;
    ensureUsers =
      map (environment: {
        name = database environment;
        ensureDBOwnership = true;
      })
      environments;
  };

  systemd.services.waybill-databases = {
    description = "Passwords of the environments' databases";
    wantedBy = ["multi-user.target"];
    requires = ["k3s.service" "postgresql.target"];
    after = ["k3s.service" "postgresql.target"];
    path = [config.services.k3s.package config.services.postgresql.package pkgs.openssl pkgs.util-linux];
    environment.KUBECONFIG = "/etc/rancher/k3s/k3s.yaml";
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      # The service fails until K3s has created the namespaces.
      Restart = "on-failure";
      RestartSec = 5;
      StateDirectory = "waybill-databases";
      StateDirectoryMode = "0700";
      UMask = "0077";
    };
    script = ''
      names=(${toString (map database environments)})
      for name in "''${names[@]}"; do
        file=$STATE_DIRECTORY/$name
        if [ ! -e "$file" ]; then
          openssl rand -hex 24 > "$file.new"
          mv "$file.new" "$file"
        fi
        password=$(cat "$file")
        # Other users can see arguments, so the password is passed through standard input.
        echo "ALTER ROLE \"$name\" PASSWORD '$password'" |
          runuser --user postgres -- psql --quiet --set ON_ERROR_STOP=1 --dbname postgres
        printf 'postgres://%s:%s@${host}:5432/%s' "$name" "$password" "$name" |
          kubectl create secret generic waybill-database --namespace "$name" --from-file url=/dev/stdin \
            --dry-run=client --output yaml |
          kubectl apply --server-side --filename -
      done
    '';
  };
}
