# The packages of the two Helm charts in this repository.
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
  # The chart of the service.
  waybill = pack "waybill" "/charts/waybill";
  # The chart of Argo CD's objects: the root Application, and an Application and a project for each environment.
  argocd = pack "argocd" "/argocd";
}
