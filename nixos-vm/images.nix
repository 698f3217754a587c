# Argo CD's own images, for a VM and a test without any network. Their hashes can only be had where there is network, so
# the list is empty as it comes: the offline VM then pulls these images, and the test `argocd` isn't there. Each entry
# is what this prints:
#
#   nix run nixpkgs#nix-prefetch-docker -- --image-name quay.io/argoproj/argocd --image-tag v3.4.4
#   nix run nixpkgs#nix-prefetch-docker -- --image-name ecr-public.aws.com/docker/library/redis --image-tag 8.2.3-alpine
[]
