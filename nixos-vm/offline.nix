# The VM without GitHub. It serves this checkout as a Git repository that accepts pushes, and it contains the image of
# the service. Nix builds the image and writes its tag to the values files, as CI does otherwise.
{
  environments,
  image,
  source,
  ...
}: {
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
  imports = [./k3s.nix ./options.nix];

  vm.repoURL = "http://10.42.0.1:${toString port}/git/waybill.git";
  vm.entries.git = {
    inherit port;
    path = "/git/waybill.git";
    hint = "clone it and push to develop; dev follows within a minute";
  };

  services.k3s.images = [imported] ++ others;

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
    # Each boot imports the commit that the VM was built from. The branches get it by a merge, so they keep what was
    # pushed to them.
    script = ''
      cd ${folder}
      if [ ! -e waybill.git ]; then
        git init --quiet --bare --initial-branch main waybill.new
        git -C waybill.new config http.receivepack true
        mv waybill.new waybill.git
      fi

      work=$(mktemp --directory)
      cp --recursive ${source.tree}/. "$work"
      chmod --recursive u+w "$work"
      ${lib.concatMapStrings (environment: ''
          sed --in-place '/^image:/,/^[^ ]/ {
            s|^  tag:.*|  tag: ${image.imageTag}|
            s|^  digest:.*|  digest: ""|
          }' "$work/charts/waybill/values-${environment.name}.yaml"
        '')
        environments}
      export GIT_DIR=$PWD/waybill.git
      export GIT_AUTHOR_NAME=nix GIT_AUTHOR_EMAIL=nix@waybill.invalid
      export GIT_COMMITTER_NAME=nix GIT_COMMITTER_EMAIL=nix@waybill.invalid

      export GIT_INDEX_FILE=$work.index
      git --work-tree "$work" add --all --force
      tree=$(git write-tree)
      imported=$(git rev-parse --verify --quiet refs/nix/imported || true)
      if [ -n "$imported" ] && [ "$(git rev-parse "$imported^{tree}")" = "$tree" ]; then exit; fi
      commit=$(git commit-tree ''${imported:+-p "$imported"} -m "Run the image that Nix built" "$tree")

      for branch in main staging develop; do
        head=$(git rev-parse --verify --quiet "refs/heads/$branch" || true)
        if [ -z "$head" ] || git merge-base --is-ancestor "$head" "$commit"; then
          git update-ref "refs/heads/$branch" "$commit"
        elif tree=$(git merge-tree --write-tree "$head" "$commit"); then
          git update-ref "refs/heads/$branch" \
            "$(git commit-tree -p "$head" -p "$commit" -m "Merge the image that Nix built" "$tree")"
        else
          echo "$branch stays at $head, because its pushes conflict with the commit of this VM. In a clone, run" \
            "'git fetch origin refs/nix/imported && git merge FETCH_HEAD' on $branch." >&2
        fi
      done
      git update-ref refs/nix/imported "$commit"
    '';
  };
}
