# The package of the chart of the service.
{
  pkgs,
  source,
  ...
}: {
  waybill = pkgs.runCommand "waybill.tgz" {nativeBuildInputs = [pkgs.kubernetes-helm];} ''
    helm package ${source.root + "/charts/waybill"}
    mv ./*.tgz $out
  '';
}
