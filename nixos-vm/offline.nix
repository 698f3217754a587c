# The VM without GitHub. It serves this checkout as a Git repository that accepts pushes, and it contains the image of
# the service. Nix builds the image and writes its tag to the values files, as CI does otherwise.
{
  environments,
  image,
  source,
  ...
}: {
  config,
  lib,
  pkgs,
  ...
}: let
  port = 3000;
  user = "lighttpd";
  folder = "/var/lib/waybill-git";
  # K3s imports archives by their file name.
  imported = pkgs.runCommand "waybill-image.tar" {} "${image} > $out";
  others = map pkgs.dockerTools.pullImage (import ./images.nix);
in {
  imports = [./options.nix];

  vm.repoURL = "http://10.42.0.1:${toString port}/git/waybill.git";
  vm.entries.git = {
    inherit port;
    path = "/git/waybill.git";
    hint = "clone it and push to develop; dev follows within a minute";
  };

  services.k3s.images = [config.services.k3s.package.airgap-images imported] ++ others;

  services.lighttpd = {
    enable = true;
    inherit port;
    document-root = "/var/empty";
    enableModules = ["mod_alias" "mod_cgi" "mod_setenv"];
    # This follows the manual of git-http-backend. Only pods and the loopback interface of the host can connect, so
    # pushing needs no authentication.
    extraConfig = ''
      alias.url = ("/git" => "${pkgs.git}/libexec/git-core/git-http-backend")
      $HTTP["url"] =~ "^/git/" {
        cgi.assign = ("" => "")
        setenv.add-environment = (
          "GIT_PROJECT_ROOT" => "${folder}",
          "GIT_HTTP_EXPORT_ALL" => "1"
        )
      }
    '';
  };

  systemd.services.waybill-git = {
    description = "This checkout as a Git repository";
    wantedBy = ["multi-user.target"];
    path = [pkgs.git];
    environment.HOME = folder;
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      User = user;
      StateDirectory = "waybill-git";
      PrivateTmp = true;
    };
    script = ''
      cd ${folder}
      if [ -e waybill.git ]; then exit; fi

      work=$(mktemp --directory)
      cp --recursive --no-preserve=mode ${source.tree}/. "$work"
      ${lib.concatMapStrings (environment: ''
          sed --in-place '/^image:/,/^[^ ]/ {
            s|^  tag:.*|  tag: ${image.imageTag}|
            s|^  digest:.*|  digest: ""|
          }' "$work/charts/waybill/values-${environment.name}.yaml"
        '')
        environments}
      git -C "$work" init --quiet --initial-branch main
      git -C "$work" add --all
      git -C "$work" -c user.name=nix -c user.email=nix@waybill.invalid commit --quiet \
        --message "Run the image that Nix built"
      git -C "$work" branch develop
      git -C "$work" branch staging
      git clone --quiet --bare "$work" waybill.new
      git -C waybill.new config http.receivepack true
      mv waybill.new waybill.git
    '';
  };
}
