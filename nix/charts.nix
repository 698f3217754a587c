# The two Helm charts of this repository, packed.
{
  pkgs,
  source,
  ...
}: let
  pack = name: folder:
    pkgs.runCommand "${name}.tgz" {nativeBuildInputs = [pkgs.kubernetes-helm];} ''
      helm package ${source.root + folder}
      mv ./*.tgz $out
    '';
in {
  # The service.
  waybill = pack "waybill" "/charts/waybill";
  # What Argo CD deploys: the root Application, and an Application and a project for each environment.
  argocd = pack "argocd" "/argocd";
}
