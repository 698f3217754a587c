# The OCI image, built without a Dockerfile. It has the same files and the same configuration as the image of the
# Dockerfile; a test compares them. It contains no store paths, because the static binary needs none.
#
# The result is a script that writes the image as a tar archive. To load it:
#   $(nix build --no-link --print-out-paths .#image) | docker load
{
  pkgs,
  rust,
  source,
  ...
}:
pkgs.dockerTools.streamLayeredImage {
  name = "ghcr.io/waybill/waybill";
  inherit (source) tag;
  created = source.builtAt;
  includeStorePaths = false;
  extraCommands = ''
    install -D --mode=0755 ${rust.static}/bin/waybill waybill
    install -D --mode=0644 ${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt etc/ssl/certs/ca-certificates.crt
  '';
  config = {
    Entrypoint = ["/waybill"];
    User = "65532:65532";
    ExposedPorts."8080/tcp" = {};
    Labels = {
      "org.opencontainers.image.title" = "waybill";
      "org.opencontainers.image.description" = "A ledger of deployments";
      "org.opencontainers.image.licenses" = source.license;
      "org.opencontainers.image.source" = "https://github.com/waybill/waybill";
      "org.opencontainers.image.version" = source.version;
      "org.opencontainers.image.revision" = source.commit;
      "org.opencontainers.image.created" = source.builtAt;
    };
  };
}
